"""The scripts that change a host, run by real shells: dash (Debian's sh) and bash (Red Hat's)."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from bmtlib.hosts.journal import apply_script, outcomes, undo_script
from bmtlib.setup.change import Change, Command, command
from bmtlib.setup.file import file_change

NASTY = {
    "quotes": "it's a \"quoted\" text'",
    "command": '$(touch pwned) `touch pwned` "$(touch pwned)"',
    "separators": "; touch pwned\n& touch pwned | touch pwned",
    "lines": "\n\na\nb\n\n\n",
    "unicode": "größe → 大きさ",
    "glob": "* ?? [a-z]* ~",
    "printf": r"%s %d %% \n \t \0101 \c",
    "options": "-n -e -- --help",
    "variables": "$HOME ${PATH} $1 $$ $?",
    "history": "!! !1 #no comment",
    "here-document": "EOF\nEND\n",
    "backslash": "ends with \\",
    "done": "done\ndone\n",
    "carriage return": "a\r\nb\r\n\x0b\x0c\x1b[31m",
    "empty": "",
}


@pytest.fixture(params=["dash", "bash"])
def shell(request: pytest.FixtureRequest) -> str:
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"no {request.param} here")
    return found


def run(shell: str, script: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([shell, "-s"], input=script.encode(), capture_output=True, timeout=20, check=False)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def entries(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return [line for line in lines if "boot" not in line]


def change(do: str, *, undo: str = "true", check: str | None = None, expect: str = "", what: str = "thing") -> Change:
    """A change whose three parts are lines of shell; they run in the folder of the journal."""
    look = None if check is None else command("sh", "-c", check)
    return Change(
        host="web01",
        what=what,
        before="old",
        want="new",
        do=command("sh", "-c", do),
        undo=command("sh", "-c", undo),
        check=look,
        expect=expect,
    )


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())
def test_any_text_is_written_read_back_and_restored(shell: str, tmp_path: Path, text: str) -> None:
    target, before = tmp_path / "etc" / "some.conf", f"before {text}"
    target.parent.mkdir()
    target.write_bytes(before.encode())
    changes = [file_change("web01", str(target), text, before=before)]
    done = run(shell, apply_script(changes, "run-1", str(tmp_path)))
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    assert target.read_bytes() == text.encode()
    undone = run(shell, undo_script(changes, "run-1", str(tmp_path)))
    assert (undone.returncode, undone.stdout, undone.stderr) == (0, "done\n", "")
    assert target.read_bytes() == before.encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["busy", "etc", "journal.jsonl", "keep"]
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("name", [name for name in NASTY if name not in ("empty", "carriage return")])
def test_any_word_reaches_the_command_and_the_journal_as_it_is(shell: str, tmp_path: Path, name: str) -> None:
    text = NASTY[name]
    store = 'printf "%s" "$1" > "$2"'
    it = Change(
        host="web01",
        what=f"what {text}",
        before=text,
        want=text,
        do=command("sh", "-c", store, "sh", text, "done.txt"),
        undo=command("sh", "-c", store, "sh", text, "undone.txt"),
        check=command("printf", "%s", text),
        expect=text,
    )
    run_id = f"run {text}"
    assert run(shell, apply_script([it], run_id, str(tmp_path))).stdout == "done\n"
    assert run(shell, undo_script([it], run_id, str(tmp_path))).stdout == "done\n"
    assert (tmp_path / "done.txt").read_bytes() == (tmp_path / "undone.txt").read_bytes() == text.encode()
    do, undone = entries(tmp_path)
    assert do == {
        "run": run_id,
        "do": it.what,
        "before": text,
        "want": text,
        "lasting": False,
        "undo": {"argv": list(it.undo.argv), "stdin": ""},
        "check": {"argv": ["printf", "%s", text], "stdin": ""},
        "expect": text,
    }
    assert undone == {"run": run_id, "undone": it.what}
    assert not (tmp_path / "pwned").exists()


def test_random_texts(shell: str, tmp_path: Path) -> None:
    chance = random.Random(7)
    pieces = [*NASTY.values(), "'", '"', "\\", "\n", "$(", ")", "`", " ", "\t", "é", "*", "\\'", "''"]
    texts = ["".join(chance.choices(pieces, k=chance.randrange(1, 8))) for _ in range(25)]
    changes = [file_change("web01", str(tmp_path / f"f{i}"), text, before=None) for i, text in enumerate(texts)]
    done = run(shell, apply_script(changes, "r", str(tmp_path)))
    assert (done.stderr, len(outcomes(done.stdout))) == ("", len(changes))
    assert [(tmp_path / f"f{i}").read_bytes().decode() for i in range(len(texts))] == texts


def test_a_folder_with_a_blank_and_a_quote(shell: str, tmp_path: Path) -> None:
    folder = tmp_path / "it's a folder"
    assert run(shell, apply_script([change("touch here")], "r", str(folder))).stdout == "done\n"
    assert sorted(path.name for path in folder.iterdir()) == ["busy", "here", "journal.jsonl", "keep"]


def test_changes_are_done_in_order_and_undone_in_the_order_given(shell: str, tmp_path: Path) -> None:
    changes = [change(f"echo do {i} >> log", undo=f"echo undo {i} >> log", what=f"c{i}") for i in range(3)]
    assert len(outcomes(run(shell, apply_script(changes, "r", str(tmp_path))).stdout)) == 3
    assert len(outcomes(run(shell, undo_script(changes[::-1], "r", str(tmp_path))).stdout)) == 3
    assert (tmp_path / "log").read_text().split("\n")[:-1] == ["do 0", "do 1", "do 2", "undo 2", "undo 1", "undo 0"]
    assert [entry.get("undone") for entry in entries(tmp_path)] == [None, None, None, "c2", "c1", "c0"]


def test_the_journal_alone_is_enough_to_undo(shell: str, tmp_path: Path) -> None:
    """As after the controller was killed: what to run stands in the journal, with its standard input."""
    target = tmp_path / "conf"
    target.write_text("as found\n")
    run(shell, apply_script([file_change("web01", str(target), "ours", before="as found\n")], "r", str(tmp_path)))
    assert target.read_text() == "ours"
    (entry,) = entries(tmp_path)
    keep = {**os.environ, "KEEP": str(tmp_path / "keep" / "r")}
    subprocess.run(entry["undo"]["argv"], input=entry["undo"]["stdin"], text=True, check=True, env=keep)
    assert target.read_text() == "as found\n"


def test_a_change_that_fails_stops_the_script_and_stands_in_the_journal(shell: str, tmp_path: Path) -> None:
    bad = change("echo it broke >&2; touch half; exit 7", what="bad one")
    done = run(shell, apply_script([change("true"), bad, change("touch never")], "r", str(tmp_path)))
    assert (done.returncode, len(outcomes(done.stdout)), done.stderr) == (92, 1, "it broke\n")
    told = [(kind, entry[kind]) for entry in entries(tmp_path) for kind in ("do", "failed") if kind in entry]
    assert told == [("do", "thing"), ("do", "bad one"), ("failed", "bad one")], "journalled before it was tried"
    assert (tmp_path / "half").exists()
    assert not (tmp_path / "never").exists()


def test_a_change_that_did_not_take_is_named_with_what_the_host_says(shell: str, tmp_path: Path) -> None:
    silent = change("true", check="echo 64; echo more", expect="128", what="sysctl net.core.somaxconn")
    done = run(shell, apply_script([silent, change("touch never")], "r", str(tmp_path)))
    assert (done.returncode, len(outcomes(done.stdout))) == (93, 0)
    expected = "sysctl net.core.somaxconn: the host accepted it and did not take it; it says: 64\nmore\n"
    assert done.stderr == expected
    assert not (tmp_path / "never").exists()


def test_white_space_is_folded_and_nothing_else(shell: str, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    folded = change("true", check=r"printf ' 4096\t87380   6291456\n\n'", expect="4096  87380 6291456\n")
    star = change("true", check="echo '*'", expect="*")
    empty = change("true", check="true", expect="")
    assert len(outcomes(run(shell, apply_script([folded, star, empty], "r", str(tmp_path))).stdout)) == 3
    for says, expect in (("echo 1 2", "12"), ("echo '*'", "a journal.jsonl"), ("echo a", "A"), ("true", "1")):
        one = change("true", check=says, expect=expect)
        assert run(shell, apply_script([one], "r", str(tmp_path))).returncode == 93, (says, expect)


def test_a_check_may_read_standard_input(shell: str, tmp_path: Path) -> None:
    it = Change(
        host="web01",
        what="x",
        before=None,
        want=None,
        do=command("true"),
        undo=command("true"),
        check=Command(argv=("cat",), stdin="what is asked"),
        expect="what is asked",
    )
    assert run(shell, apply_script([it], "r", str(tmp_path))).stdout == "done\n"


def test_a_command_cannot_say_done_nor_eat_the_script(shell: str, tmp_path: Path) -> None:
    noisy = change("echo done; cat; echo done >&3 2>/dev/null; exit 1")
    done = run(shell, apply_script([noisy], "r", str(tmp_path)))
    assert (done.returncode, len(outcomes(done.stdout))) == (92, 0)
    greedy = [change("cat > eaten", check="cat"), change("touch later")]
    assert len(outcomes(run(shell, apply_script(greedy, "r", str(tmp_path))).stdout)) == 2
    assert (tmp_path / "eaten").read_text() == ""


def test_a_daemon_does_not_keep_the_script_waiting(shell: str, tmp_path: Path) -> None:
    began = time.monotonic()
    daemon = change("sleep 20 </dev/null >/dev/null 2>&1 & echo $! > pid")
    try:
        assert run(shell, apply_script([daemon], "r", str(tmp_path))).stdout == "done\n"
        assert time.monotonic() - began < 5
    finally:
        subprocess.run(["sh", "-c", f"kill $(cat {shlex.quote(str(tmp_path))}/pid)"], check=True)


def test_nothing_is_changed_when_the_journal_cannot_be_written(shell: str, tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").mkdir()
    done = run(shell, apply_script([change("touch here")], "r", str(tmp_path)))
    assert (done.returncode, done.stdout) == (91, "")
    assert not (tmp_path / "here").exists()


def test_one_that_cannot_be_undone_does_not_keep_the_others(shell: str, tmp_path: Path) -> None:
    good, bad = change("true", what="good"), change("true", undo="echo no >&2; exit 3", what="bad")
    done = run(shell, undo_script([good, bad, good], "r", str(tmp_path)))
    assert (outcomes(done.stdout), done.stderr) == (["done", "failed", "done"], "no\n")
    assert [entry["undone"] for entry in entries(tmp_path)] == ["good", "good"]


def test_outcomes() -> None:
    assert outcomes("") == outcomes("undone\ndone?\n done\n") == []
    assert outcomes("done\nfailed\ndone\n") == ["done", "failed", "done"]
