"""What every host can do: run, collect, apply and undo, many at once."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from host_doubles import LocalHost

from bmtlib.errors import HostError
from bmtlib.hosts import each
from bmtlib.hosts.host import WORK
from bmtlib.setup.change import Change, command
from bmtlib.setup.file import file_change

ODD_NAMES = ("a b.txt", "-rf", "größe.txt", "it's", "new\nline", "$(touch pwned)", ".hidden", "*", "x" * 200)


def step(name: str, *, do: str = "true", undo: str = "true", check: str = "true", expect: str = "") -> Change:
    """A change that appends to `log` in the work folder when it is done and undone."""
    return Change(
        host="web01",
        what=name,
        before="old",
        want="new",
        do=command("sh", "-c", f"{do} && echo do {name} >> log"),
        undo=command("sh", "-c", f"{undo} && echo undo {name} >> log"),
        check=command("sh", "-c", check),
        expect=expect,
    )


def log(host: LocalHost) -> list[str]:
    return (host.root / "run/bmt/log").read_text().splitlines()


def test_run_says_what_happened(host: LocalHost) -> None:
    before = time.time()
    result = host.run(["sh", "-c", "cat; echo bad >&2; sleep 0.05"], stdin="größe\n")
    assert (result.host, result.rc, result.stdout, result.stderr) == ("web01", 0, "größe\n", "bad\n")
    assert result.command == ["sh", "-c", "cat; echo bad >&2; sleep 0.05"]
    assert before <= result.started <= time.time()
    assert 0.05 <= result.seconds < 5


def test_words_are_never_shell_text(host: LocalHost) -> None:
    words = ["$(touch pwned)", "a b", "*", "it's", "", "-n"]
    assert host.run(["printf", "%s\n", *words]).stdout.splitlines() == words


def test_output_that_is_not_text_is_marked_and_not_fatal(host: LocalHost) -> None:
    assert host.run(["printf", r"a\377b"]).stdout == "a�b"


def test_a_failing_command(host: LocalHost) -> None:
    with pytest.raises(HostError, match="web01: `sh -c echo why >&2; exit 3` ended with 3") as caught:
        host.run(["sh", "-c", "echo why >&2; exit 3"])
    assert caught.value.rc == 3
    assert "why" in caught.value.where
    with pytest.raises(HostError, match="ended with 4") as caught:
        host.run(["sh", "-c", "echo only on stdout; exit 4"])
    assert "only on stdout" in caught.value.where
    assert host.run(["sh", "-c", "exit 3"], check=False).rc == 3


def test_a_command_without_an_end_is_killed(host: LocalHost) -> None:
    began = time.monotonic()
    with pytest.raises(HostError, match="was killed") as caught:
        host.run(["sh", "-c", "sleep 60"], timeout_s=0.3)
    assert caught.value.rc is None
    assert "no end after 0.3 s" in caught.value.where
    assert time.monotonic() - began < 5


def test_read(host: LocalHost) -> None:
    (host.root / "run").mkdir()
    (host.root / "run/bmt.txt").write_text("a\nb")
    assert host.read(f"{WORK}.txt") == "a\nb"
    with pytest.raises(HostError, match="ended with 1"):
        host.read(f"{WORK}.absent")


def test_collect_gets_every_file_whatever_its_name(host: LocalHost) -> None:
    folder = host.root / "run/bmt/cases/b1 'x'"
    folder.mkdir(parents=True)
    wanted = {name: f"content of {name}".encode() * (i * 500) for i, name in enumerate(ODD_NAMES)}
    wanted["binary"] = bytes(range(256)) * 4000
    for name, content in wanted.items():
        (folder / name).write_bytes(content)
    (folder / "link").symlink_to("/etc/passwd")
    assert host.collect(f"{WORK}/cases/b1 'x'") == wanted
    assert folder.exists()
    assert host.collect(f"{WORK}/cases/b1 'x'", remove=True) == wanted
    assert not folder.exists()
    assert folder.parent.exists()


def test_collect_from_no_folder_and_from_an_empty_one(host: LocalHost) -> None:
    assert host.collect(f"{WORK}/cases/none", remove=True) == {}
    (host.root / "run/bmt/cases/empty").mkdir(parents=True)
    assert host.collect(f"{WORK}/cases/empty", remove=True) == {}
    assert not (host.root / "run/bmt/cases/empty").exists()


def test_apply_and_undo_keep_the_books(host: LocalHost) -> None:
    a, b, c = step("a"), step("b"), step("c")
    host.apply([])
    host.apply([a, b])
    host.apply([c])
    assert host.applied == [a, b, c]
    host.undo([c, a])
    assert host.applied == [b]
    host.undo([c, a])
    assert log(host) == ["do a", "do b", "do c", "undo c", "undo a"]
    host.undo([b])
    host.undo([])
    assert host.applied == []


def test_undo_of_what_was_never_applied_does_nothing(host: LocalHost) -> None:
    host.undo([step("a")])
    assert not (host.root / "run").exists()


def test_the_journal_names_the_run(host: LocalHost) -> None:
    host.run_id = "20261122T191530Z-it's-3fa9c1"
    host.apply([step("a")])
    boot, line = (host.root / "run/bmt/journal.jsonl").read_text().splitlines()
    assert json.loads(boot)["run"] == host.run_id
    assert json.loads(line)["run"] == host.run_id


def test_a_failing_change_left_things_as_they_were_and_is_not_undone(host: LocalHost) -> None:
    a, bad, c = step("a"), replace(step("bad"), do=command("sh", "-c", "echo broken >&2; exit 1")), step("c")
    with pytest.raises(HostError, match="change: bad -> new") as caught:
        host.apply([a, bad, c])
    assert "broken" in caught.value.where
    assert host.applied == [a]
    host.undo([a, bad, c])
    assert log(host) == ["do a", "undo a"]


def test_a_change_that_did_not_take_says_so(host: LocalHost) -> None:
    with pytest.raises(HostError) as caught:
        host.apply([step("sysctl net.core.somaxconn", check="echo 5", expect="6")])
    assert "did not take it; it says: 5" in caught.value.where
    assert [change.what for change in host.applied] == ["sysctl net.core.somaxconn"], "done, so its undo is due"


def test_a_failing_undo_is_an_error_and_stays_due(host: LocalHost) -> None:
    a, stuck, c = step("a"), step("stuck", undo="echo busy >&2; false"), step("c")
    host.apply([a, stuck, c])
    with pytest.raises(HostError, match="undo: stuck") as caught:
        host.undo([a, stuck, c])
    assert "busy" in caught.value.where
    assert host.applied == [stuck]
    assert log(host)[-2:] == ["undo c", "undo a"]


def test_a_switch_undoes_and_applies_in_one_go(host: LocalHost) -> None:
    a, b, c, d = step("a"), step("b"), step("c"), step("d")
    assert host.switch([], [a, b]) == []
    assert host.switch([a, b, d], [c, d]) == []
    assert log(host) == ["do a", "do b", "undo b", "undo a", "do c", "do d"]
    assert host.applied == [c, d]
    assert host.switch([d], []) == []
    assert host.applied == [c]


def test_a_switch_that_cannot_undo_applies_nothing(host: LocalHost) -> None:
    a, stuck, c = step("a"), step("stuck", undo="echo busy >&2; false"), step("c")
    host.apply([a, stuck])
    with pytest.raises(HostError, match="undo: stuck") as caught:
        host.switch([a, stuck], [c])
    assert "busy" in caught.value.where
    assert host.applied == [stuck]
    assert log(host) == ["do a", "do stuck", "undo a"]


def test_a_switch_that_fails_half_way_keeps_the_books(host: LocalHost) -> None:
    a, b = step("a"), step("b")
    bad = replace(step("bad"), do=command("sh", "-c", "echo broken >&2; exit 1"))
    no = replace(step("no"), do=command("sh", "-c", "echo not mine; exit 1"), may_refuse=True)
    host.apply([a])
    with pytest.raises(HostError, match="change: bad -> new"):
        host.switch([a], [b, bad])
    assert host.applied == [b]
    (refused,) = host.switch([b], [no, a])
    assert (refused.key, refused.why) == ("no", "not mine")
    assert host.applied == [a]


@dataclass(kw_only=True)
class _NeverReturns:
    """A command that does its work and then does not come back in time."""

    host: LocalHost
    command: list[str]
    stdin: bytes

    def wait(self, timeout_s: float) -> tuple[int, bytes, bytes]:
        LocalHost.start(self.host, self.command, stdin=self.stdin).wait(10)
        raise TimeoutError(f"no end after {timeout_s:g} s")

    def kill(self) -> None: ...


def test_what_was_applied_before_the_time_was_over_is_undone(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = [step("a"), step("b")]
    with monkeypatch.context() as patched:
        patched.setattr(
            host, "start", lambda command, *, stdin, cpus=None: _NeverReturns(host=host, command=command, stdin=stdin)
        )
        with pytest.raises(HostError, match="was killed"):
            host.apply(changes)
    host.undo(changes)
    assert log(host) == ["do a", "do b", "undo b", "undo a"]


def test_what_a_switch_may_have_done_is_undone(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = step("a"), step("b")
    host.apply([a])
    with monkeypatch.context() as patched:
        patched.setattr(
            host, "start", lambda command, *, stdin, cpus=None: _NeverReturns(host=host, command=command, stdin=stdin)
        )
        with pytest.raises(HostError, match="was killed"):
            host.switch([a], [b])
    host.undo([a, b])
    assert log(host) == ["do a", "undo a", "do b", "undo b", "undo a"], "an undo may come twice"


def test_a_file_of_a_host_is_written_and_brought_back(host: LocalHost) -> None:
    target = host.root / "etc/nginx/nginx.conf"
    target.parent.mkdir(parents=True)
    target.write_text("theirs, without an end of line")
    change = file_change("web01", "/etc/nginx/nginx.conf", "ours\n", before="theirs, without an end of line")
    host.apply([change])
    assert target.read_text() == "ours\n"
    host.undo([change])
    assert target.read_text() == "theirs, without an end of line"


def hosts(tmp_path: Path, count: int) -> list[LocalHost]:
    cpus = frozenset(os.sched_getaffinity(0))
    return [
        LocalHost(name=f"h{i}", role="client", machine="lab", addresses={}, interfaces={}, cpus=cpus, root=tmp_path)
        for i in range(count)
    ]


def test_each_works_on_all_hosts_at_once_and_keeps_their_order(tmp_path: Path) -> None:
    together = threading.Barrier(4, timeout=5)
    assert each(hosts(tmp_path, 4), lambda host: (together.wait() >= 0, host.name)) == {
        f"h{i}": (True, f"h{i}") for i in range(4)
    }
    assert each([], lambda host: 1) == {}
    assert list(each(hosts(tmp_path, 40), lambda host: host.name)) == [f"h{i}" for i in range(40)]


def test_each_raises_the_first_error_after_all_have_ended(tmp_path: Path) -> None:
    ended = []

    def work(host: LocalHost) -> None:
        if host.name in ("h1", "h2"):
            raise HostError(host.name, ["x"], 1, "")
        time.sleep(0.05)
        ended.append(host.name)

    with pytest.raises(HostError, match="h1"):
        each(hosts(tmp_path, 4), work)  # type: ignore[arg-type]
    assert sorted(ended) == ["h0", "h3"]
