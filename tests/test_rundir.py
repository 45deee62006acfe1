"""The run folder: names, whole files or none, and what it says about folders and files that are not right."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bmtlib.errors import BmtError, InputError, MachineError
from bmtlib.events import EventTail
from bmtlib.rundir import FORMAT, LOOSE_HOSTS, RunDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    made = RunDir(tmp_path / "run")
    made.write_json("run.json", {"format": FORMAT, "id": "x"})
    made.write_json("plan.json", {"cases": [{"id": "b1-a"}, {"id": "b1-b"}, {"id": "b2-a"}]})
    return made


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("quick", "quick"),
        ("file-size.v2_b", "file-size.v2_b"),
        ("a b/../c", "a-b-..-c"),
        ("../../etc/passwd", "etc-passwd"),
        (".hidden", "hidden"),
        ("$(touch pwned) <script>'\"", "touch-pwned-script"),
        ("größe", "gr-e"),
        ("大きさ", "run"),
        ("", "run"),
        ("...", "run"),
        ("x" * 300, "x" * 60),
        ("a\nb\0c", "a-b-c"),
    ],
)
def test_a_new_folder_has_a_plain_name(tmp_path: Path, name: str, slug: str) -> None:
    run = RunDir.create(tmp_path / "new" / "data", name, "3fa9c1" + "0" * 58)
    assert run.path.parent == tmp_path / "new" / "data"
    assert run.path.is_dir()
    found = re.fullmatch(r"\d{8}T\d{6}Z-(.*)-3fa9c1", run.path.name)
    assert found is not None
    assert found[1] == slug


def test_folders_of_the_same_second_do_not_collide(tmp_path: Path) -> None:
    made = [RunDir.create(tmp_path, "quick", "3fa9c1").path for _ in range(5)]
    assert len(set(made)) == 5
    assert all(path.is_dir() for path in made)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match="cannot write: Not a directory") as caught:
        RunDir.create(tmp_path / "file", "quick", "3fa9c1")
    assert "--out" in caught.value.todo


def test_open(run: RunDir) -> None:
    assert RunDir.open(run.path).path == run.path
    assert RunDir.open(str(run.path)).run_json()["id"] == "x"


@pytest.mark.parametrize("name", ["absent", "empty", "file", "x" * 300, "a\0b"])
def test_what_is_no_run_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is not a run folder"):
        RunDir.open(tmp_path / name)


def test_a_folder_that_may_not_be_read(run: RunDir) -> None:
    run.path.chmod(0)
    try:
        if os.access(run.path, os.X_OK):
            pytest.skip("root may read everything")
        with pytest.raises(InputError):
            RunDir.open(run.path)
    finally:
        run.path.chmod(0o755)


@pytest.mark.parametrize("value", [FORMAT + 1, "1", None, 1.5, True, [1]])
def test_a_format_that_we_do_not_read(run: RunDir, value: object) -> None:
    run.write_json("run.json", {"format": value})
    with pytest.raises(InputError, match="this bmtlib reads formats up to 1"):
        RunDir.open(run.path)
    run.write_json("run.json", {"id": "no format at all"})
    with pytest.raises(InputError, match="format None"):
        RunDir.open(run.path)


@pytest.mark.parametrize("text", ["", "{", '{"format": 1', "[1]", "1", "null", "nonsense", "\xff", "[" * 100_000])
def test_json_that_is_truncated_or_something_else(run: RunDir, text: str) -> None:
    (run.path / "run.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"run\.json") as caught:
        RunDir.open(run.path)
    assert caught.value.where == str(run.path / "run.json")


def test_json_that_is_missing(run: RunDir) -> None:
    with pytest.raises(InputError, match=r"the run folder lacks cases/b1-a/case\.json"):
        run.case("b1-a")


def test_write_and_read_back(run: RunDir) -> None:
    value = {"größe": "大きさ <script> '\"\n", "list": [1, None, 2.5]}
    assert run.write_json("facts/web01.json", value) == run.path / "facts/web01.json"
    assert run.read_json("facts/web01.json") == value
    assert "大きさ" in (run.path / "facts/web01.json").read_text(encoding="utf-8")
    run.write("a/b/c.txt", b"\x00\xff")
    assert (run.path / "a/b/c.txt").read_bytes() == b"\x00\xff"
    run.write("a/b/c.txt", "shorter")
    assert (run.path / "a/b/c.txt").read_text() == "shorter"
    assert files(run.path / "a") == ["b/c.txt"]


def test_a_name_that_is_no_text_comes_back(run: RunDir) -> None:
    """A scenario's file name may hold any byte."""
    name = os.fsdecode(b"caf\xe9")
    run.write_json("scenario.json", {"name": name})
    run.event("run", "start", name=name)
    assert run.read_json("scenario.json") == {"name": name}
    assert next(run.events())["name"] == name


def test_a_file_that_cannot_be_written_leaves_nothing(run: RunDir) -> None:
    (run.path / "taken").mkdir()
    with pytest.raises(MachineError, match="cannot write"):
        run.write("taken", "text")
    with pytest.raises(MachineError, match="cannot write"):
        run.write("run.json/below", "text")
    with pytest.raises(MachineError, match="cannot write"):
        run.write("x" * 254, "text")
    assert files(run.path) == ["plan.json", "run.json"]


def test_a_write_that_is_interrupted_leaves_the_old_file(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.write("run.json", "half")
    assert files(run.path) == ["plan.json", "run.json"]
    assert run.run_json()["id"] == "x"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_said(run: RunDir) -> None:
    (run.path / "events.jsonl").symlink_to("/dev/full")
    with pytest.raises(MachineError, match="the disk is full") as caught:
        run.event("run", "start")
    assert caught.value.where == str(run.path / "events.jsonl")
    (run.path / ".raw.txt.new").symlink_to("/dev/full")
    with pytest.raises(MachineError, match="the disk is full"):
        run.write("raw.txt", "text")
    assert not (run.path / ".raw.txt.new").is_symlink()


def test_raw_files(run: RunDir) -> None:
    rows = b"starttime\tseconds\n" * 1000
    run.write_raw("b1-a", "client01", {"ab.txt": b"report \xff", "ab.tsv": rows, "a b'$(x).txt": b""})
    assert run.raw_names("b1-a", "client01") == ["a b'$(x).txt", "ab.tsv.gz", "ab.txt"]
    stored = run.path / "cases/b1-a/client01/ab.tsv.gz"
    assert gzip.decompress(stored.read_bytes()) == rows
    assert run.raw("b1-a", "client01", "ab.tsv") == rows.decode()
    assert run.raw("b1-a", "client01", "ab.txt") == "report �"
    assert run.raw("b1-a", "client01", "absent.txt") is None
    assert run.raw("b1-a", "client02", "ab.tsv") is None
    assert run.raw_names("b1-a", "client02") == []


def test_files_of_many_hosts_are_kept_in_one(run: RunDir) -> None:
    clients = [f"client{i:02}" for i in range(1, LOOSE_HOSTS + 2)]
    hosts = {**dict.fromkeys(clients, "client"), "director": "director"}
    assert run.raw("b1-a", "client01", "ab.txt") is None
    content = {host: {"ab.txt": host.encode(), "ab.tsv": b"rows\n" * 1000} for host in hosts}
    run.write_case("b1-a", content, hosts)
    assert files(run.path / "cases") == ["b1-a/client.zip", "b1-a/director/ab.tsv.gz", "b1-a/director/ab.txt"]
    for host in hosts:
        assert run.raw("b1-a", host, "ab.txt") == host
        assert run.raw("b1-a", host, "ab.tsv") == "rows\n" * 1000
        assert run.raw("b1-a", host, "absent.txt") is None
    assert run.raw_names("b1-a", "client01") == ["ab.tsv", "ab.txt"]
    assert run.raw_names("b1-a", "director") == ["ab.tsv.gz", "ab.txt"]
    assert run.raw("b1-b", "client01", "ab.txt") is None, "of another case"
    again = RunDir(run.path)
    again.write_case("b1-b", content, hosts)
    first, second = (run.path / f"cases/{case}/client.zip" for case in ("b1-a", "b1-b"))
    assert first.read_bytes() == second.read_bytes()


def test_files_of_few_hosts_lie_loose(run: RunDir) -> None:
    run.write_case("b1-a", {"client01": {"x.txt": b"1"}, "web01": {}}, {"client01": "client", "web01": "web"})
    assert files(run.path / "cases") == ["b1-a/client01/x.txt"]


@pytest.mark.parametrize("which", range(3))
def test_a_damaged_bundle(run: RunDir, which: int) -> None:
    clients = [f"client{i:02}" for i in range(LOOSE_HOSTS + 1)]
    text = "".join(f"{i * 7919 % 10007}\t{i}\n" for i in range(2000)).encode()
    run.write_case("b1-a", {host: {"ab.tsv": text} for host in clients}, dict.fromkeys(clients, "client"))
    path = run.path / "cases/b1-a/client.zip"
    path.write_bytes(damaged(path.read_bytes())[which])
    with pytest.raises(InputError, match=r"client\.zip cannot be read"):
        _ = [run.raw("b1-a", host, "ab.tsv") for host in clients]


def test_compressed_files_are_the_same_each_time(run: RunDir) -> None:
    for case in ("b1-a", "b1-b"):
        run.write_raw(case, "client01", {"ab.tsv": b"same\n"})
    first, second = (run.path / f"cases/{case}/client01/ab.tsv.gz" for case in ("b1-a", "b1-b"))
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes()[4:8] == bytes(4), "no time in it (RFC 1952, MTIME)"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", ".hidden", "..", "a/b", "."])
def test_names_from_a_host_that_lead_elsewhere(run: RunDir, name: str) -> None:
    with pytest.raises(MachineError, match="web01 sent a file with the name"):
        run.write_raw("b1-a", "web01", {name: b""})
    assert files(run.path) == ["plan.json", "run.json"]


def damaged(content: bytes) -> list[bytes]:
    half = len(content) // 2
    return [content[:half], content[:half] + b"\xff" * 20 + content[half + 20 :], b"no gzip at all"]


@pytest.mark.parametrize("which", range(3))
def test_a_damaged_compressed_file(run: RunDir, which: int) -> None:
    text = "".join(f"{i * 7919 % 10007}\t{i}\n" for i in range(2000))
    run.write_raw("b1-a", "client01", {"ab.tsv": text.encode()})
    path = run.path / "cases/b1-a/client01/ab.tsv.gz"
    path.write_bytes(damaged(path.read_bytes())[which])
    with pytest.raises(InputError, match=r"ab\.tsv of client01 cannot be read"):
        run.raw("b1-a", "client01", "ab.tsv")


def test_case_ids_are_those_that_were_tried_in_the_order_of_the_plan(run: RunDir) -> None:
    assert run.case_ids() == []
    for case in ("b2-a", "b1-b", "not-planned"):
        run.write_json(f"cases/{case}/case.json", {"id": case})
    run.write_raw("b1-a", "web01", {"x.txt": b"raw files, but no case.json yet"})
    assert run.case_ids() == ["b1-b", "b2-a"]
    assert run.case("b1-b") == {"id": "b1-b"}


@pytest.mark.parametrize("plan", [{}, {"cases": None}, {"cases": [1]}, {"cases": [{}]}, {"cases": {"id": 1}}])
def test_a_plan_that_is_none(run: RunDir, plan: dict[str, object]) -> None:
    run.write_json("plan.json", plan)
    with pytest.raises(InputError, match=r"plan\.json"):
        run.case_ids()


def test_events(run: RunDir) -> None:
    assert list(run.events()) == []
    run.event("run", "start", cases=3)
    run.event("case", "load", case="b1-größe", error={"what": "a\nb"})
    run.event("run", "done")
    found = list(run.events())
    assert [(event["step"], event["state"]) for event in found] == [("run", "start"), ("case", "load"), ("run", "done")]
    assert found[0]["cases"] == 3
    assert found[1]["case"] == "b1-größe"
    assert found[1]["error"] == {"what": "a\nb"}
    assert all(isinstance(event["time_s"], float) for event in found)


def test_events_as_they_come(run: RunDir) -> None:
    tail = EventTail(run)
    assert list(tail.new()) == []
    run.event("run", "start")
    run.event("run", "done")
    late = EventTail(run, from_end=True)
    assert [event["state"] for event in tail.new()] == ["start", "done"]
    assert [*tail.new(), *late.new()] == []
    run.event("run", "start")
    assert [event["state"] for event in (*tail.new(), *late.new())] == ["start", "start"]


def test_a_torn_last_event_is_survived(run: RunDir) -> None:
    """A full disk, or a crash of the machine, may leave any part of a line; the events after it must be whole."""
    run.event("run", "start")
    path = run.path / "events.jsonl"
    whole = path.read_bytes()
    line = b'{"time_s": 1.0, "step": "gr\xc3\xb6\xc3\x9fe"}'
    for cut in range(1, len(line) + 1):
        path.write_bytes(whole + line[:cut])
        tail = EventTail(run)
        assert [event["state"] for event in tail.new()] == ["start"]
        run.event("run", "done")
        assert [event["state"] for event in tail.new()] == ["done"]
        assert path.read_bytes().startswith(whole)
    path.write_bytes(line)
    run.event("run", "start")
    assert [event["state"] for event in run.events()] == ["start"]


def test_events_while_the_last_line_is_being_written(run: RunDir) -> None:
    """It may end anywhere, also in the middle of a character; it is read the next time, when it is whole."""
    run.event("run", "start")
    line = json.dumps({"time_s": 1.0, "step": "größe"}, ensure_ascii=False).encode() + b"\n"
    path = run.path / "events.jsonl"
    whole = path.read_bytes()
    for cut in range(len(line)):
        path.write_bytes(whole + line[:cut])
        assert [event["step"] for event in run.events()] == ["run"], cut
    tail = EventTail(run)
    path.write_bytes(whole + line[:20])
    assert [event["step"] for event in tail.new()] == ["run"]
    path.write_bytes(whole + line)
    assert [event["step"] for event in tail.new()] == ["größe"]


def test_a_damaged_event_is_an_error_with_its_line(run: RunDir) -> None:
    run.event("run", "start")
    with (run.path / "events.jsonl").open("a") as stream:
        stream.write('{"half": \n')
    with pytest.raises(BmtError, match=r"line 2 of events\.jsonl"):
        list(run.events())


def test_one_process_at_a_time(run: RunDir) -> None:
    run.write_json("run.json", {"format": FORMAT, "sessions": [{"pid": 4711}]})
    script = (
        "import sys; from bmtlib.rundir import RunDir\nwith RunDir(sys.argv[1]).held(): print(1, flush=True); input()"
    )
    words = [sys.executable, "-c", script, str(run.path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, cwd=Path(__file__).parents[1], **pipes) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"1\n"
        with pytest.raises(InputError, match="is being measured: process 4711"), run.held(wait_s=0.2):
            pass
        other.kill()
    with run.held(wait_s=5):
        pass


def test_an_earlier_try_is_set_aside_whole(run: RunDir) -> None:
    run.set_aside("b1-a")
    for text in ("one", "two"):
        run.write_raw("b1-a", "web01", {"x.txt": text.encode()})
        run.write_json("cases/b1-a/case.json", {"id": text})
        run.set_aside("b1-a")
    assert run.case_ids() == []
    assert files(run.path / "failed") == [
        "b1-a-1/case.json",
        "b1-a-1/web01/x.txt",
        "b1-a-2/case.json",
        "b1-a-2/web01/x.txt",
    ]
    assert run.read_json("failed/b1-a-2/case.json") == {"id": "two"}


def test_files_that_were_being_written_are_swept(run: RunDir) -> None:
    run.write_raw("b1-a", "web01", {"x.txt": b"whole"})
    for place in (".run.json.new", "cases/b1-a/web01/.y.txt.new", "facts/.z.json.new"):
        (run.path / place).parent.mkdir(exist_ok=True)
        (run.path / place).write_text("hal")
    run.sweep()
    assert files(run.path) == ["cases/b1-a/web01/x.txt", "plan.json", "run.json"]


def test_texts_are_utf_8_in_every_locale(tmp_path: Path) -> None:
    """Python warns wherever a file would be read or written in the encoding of the locale."""
    script = (
        "import sys; from bmtlib.rundir import RunDir; run = RunDir(sys.argv[1]);"
        "run.write_json('run.json', {'format': 1}); run.write_json('plan.json', {'cases': []});"
        "run.event('a', 'b'); run.write_raw('c', 'h', {'ab.txt': b'', 'ab.tsv': b''});"
        "RunDir.open(sys.argv[1]).case_ids(); list(run.events());"
        "run.raw('c', 'h', 'ab.txt'); run.raw('c', 'h', 'ab.tsv')"
    )
    strict = ["-X", "warn_default_encoding", "-W", "error::EncodingWarning"]
    command = [sys.executable, *strict, "-c", script, str(tmp_path)]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
