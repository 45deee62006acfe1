"""What a host's journal says, on a real host: undone by somebody else, broken off, changed again, after a reboot."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from host_doubles import LocalHost

from bmtlib.errors import HostError
from bmtlib.hosts import journal
from bmtlib.hosts.entry import read_journal
from bmtlib.hosts.lock import acquire, owner_now
from bmtlib.hosts.rollback import open_changes, rollback, unfinished, verify
from bmtlib.setup.change import Change, command

SET = 'echo "$1" > "$2"'


def setting(host: LocalHost, name: str, before: str, want: str, *, lasting: bool = True) -> Change:
    """A file that holds a value, as /proc/sys does: undone as often as one likes."""
    path = f"/etc/haproxy/{name}"
    return Change(
        host=host.name,
        what=f"setting {name}",
        before=before,
        want=want,
        do=command("sh", "-c", SET, "sh", want, path),
        undo=command("sh", "-c", SET, "sh", before, path),
        check=command("cat", path),
        expect=want,
        lasting=lasting,
    )


def value(host: LocalHost, name: str) -> str:
    return place(host, name).read_text().strip()


def place(host: LocalHost, name: str) -> Path:
    """Where a file of the host really lies."""
    return host.root / "etc/haproxy" / name


@pytest.fixture
def settings(host: LocalHost) -> LocalHost:
    place(host, "").mkdir(parents=True)
    for name in ("a", "b"):
        place(host, name).write_text("old\n")
    return host


def other(host: LocalHost, run_id: str = "another") -> LocalHost:
    """The same host as another controller sees it, which knows nothing of what was applied."""
    return replace(host, run_id=run_id, applied=[])


def test_another_controller_rolls_back_from_the_journal_alone(settings: LocalHost) -> None:
    settings.run_id = "run-1"
    settings.apply([setting(settings, "a", "old", "1"), setting(settings, "b", "old", "2")])
    assert [entry.what for entry in open_changes(other(settings)).entries] == ["setting a", "setting b"]
    done = rollback(other(settings), "run-1")
    assert (done.undone, done.left) == (["setting b", "setting a"], [])
    assert (value(settings, "a"), value(settings, "b")) == ("old", "old")
    assert not (settings.root / "run/bmt").exists(), "nothing of ours is left"


def test_a_run_that_was_never_here_is_rolled_back_at_once(settings: LocalHost) -> None:
    assert rollback(settings, "run-9").undone == []


def test_only_what_is_open_is_undone(settings: LocalHost) -> None:
    first = setting(settings, "a", "old", "1")
    settings.apply([first])
    settings.undo([first])
    place(settings, "a").write_text("the user's own\n")
    assert rollback(other(settings), None).undone == []
    assert value(settings, "a") == "the user's own"


def test_the_same_thing_twice_is_undone_twice_the_later_first(settings: LocalHost) -> None:
    settings.apply([setting(settings, "a", "old", "1"), setting(settings, "a", "1", "2")])
    settings.undo([setting(settings, "a", "1", "2")])
    assert [entry.want for entry in open_changes(settings).entries] == ["1"]
    settings.apply([setting(settings, "a", "1", "2")])
    assert rollback(other(settings), settings.run_id).undone == ["setting a", "setting a"]
    assert value(settings, "a") == "old"


@pytest.mark.parametrize("lines", range(2, 6))
def test_broken_off_after_any_line_of_the_journal(settings: LocalHost, lines: int) -> None:
    """A change is in the journal before it is done: one that is there and was not done is undone to no effect."""
    changes = [setting(settings, name, "old", "new") for name in ("a", "b", "a", "b")]
    script = journal.apply_script(changes, "run-1", "/run/bmt")
    # As a kill would: everything after the n-th note to the journal never happens.
    broken = f"n=0\n{script}".replace("note() {\n", f"note() {{\n  n=$((n+1)); [ $n -lt {lines} ] || exit 99\n")
    assert settings.run(["sh", "-s"], stdin=broken, check=False).rc == 99
    assert rollback(other(settings), "run-1").left == []
    assert (value(settings, "a"), value(settings, "b")) == ("old", "old")


def test_what_cannot_be_undone_is_named_and_stays_in_the_journal(settings: LocalHost) -> None:
    bad = replace(setting(settings, "a", "old", "1"), undo=command("sh", "-c", "echo no way back >&2; false"))
    settings.apply([bad, setting(settings, "b", "old", "2")])
    done = rollback(other(settings), None)
    assert (done.undone, done.left, done.said) == (["setting b"], ["setting a"], "no way back")
    assert [entry.what for entry in open_changes(settings).entries] == ["setting a"]


def test_changes_of_another_run_on_top_must_go_first(settings: LocalHost) -> None:
    settings.run_id = "below"
    settings.apply([setting(settings, "a", "old", "1"), setting(settings, "b", "old", "1")])
    above = other(settings, "above")
    above.apply([setting(settings, "a", "1", "2")])
    with pytest.raises(HostError, match="changed again by above: roll that back first") as caught:
        rollback(other(settings), "below")
    assert "setting a" in str(caught.value)
    assert value(settings, "b") == "1", "nothing was undone"
    rollback(other(settings), "above")
    assert rollback(other(settings), "below").left == []
    assert (value(settings, "a"), value(settings, "b")) == ("old", "old")


def test_a_reboot_undoes_what_does_not_last(settings: LocalHost) -> None:
    settings.apply([setting(settings, "a", "old", "1", lasting=False), setting(settings, "b", "old", "1")])
    file = settings.root / "run/bmt/journal.jsonl"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    file.write_text(file.read_text().replace(boot, "0ld-b00t"))
    place(settings, "a").write_text("as the boot has it\n")
    assert unfinished(open_changes(settings), "mine") == ["no-run"]
    assert rollback(other(settings), None).left == []
    assert (value(settings, "a"), value(settings, "b")) == ("as the boot has it", "old")


def test_kept_runs_are_no_leftovers(settings: LocalHost) -> None:
    settings.run_id = "kept"
    settings.apply([setting(settings, "a", "old", "1")])
    assert unfinished(open_changes(settings), "mine") == ["kept"]
    assert unfinished(open_changes(settings), "kept") == []
    settings.run(["sh", "-s"], stdin=journal.keep_script("kept", settings.state))
    assert unfinished(open_changes(settings), "mine") == []
    assert rollback(other(settings), "kept").undone == ["setting a"]


def test_a_line_cut_off_by_a_power_failure_is_no_change(settings: LocalHost) -> None:
    settings.apply([setting(settings, "a", "old", "1")])
    file = settings.root / "run/bmt/journal.jsonl"
    file.write_text(file.read_text() + '{"run": "no-run", "do": "setti')
    settings.apply([setting(settings, "b", "old", "1")])
    assert [entry.what for entry in open_changes(settings).entries] == ["setting a", "setting b"]


def test_what_is_not_ours_in_the_journal_is_passed_over() -> None:
    assert read_journal('nonsense\n[1, 2]\n"text"\n\n{"run": "r", "undone": "never done"}\n') == []


def test_drift(settings: LocalHost) -> None:
    settings.apply([setting(settings, "a", "old", "1"), setting(settings, "b", "old", "2")])
    assert verify(other(settings)) == (2, [])
    place(settings, "b").write_text("3\nby hand\n")
    count, (drift,) = verify(other(settings))
    assert (count, drift.what, drift.want, drift.found) == (2, "setting b", "2", "3 by hand")


def test_drift_of_a_thing_changed_twice_is_judged_by_the_later(settings: LocalHost) -> None:
    settings.apply([setting(settings, "a", "old", "1"), setting(settings, "a", "1", "2")])
    assert verify(other(settings)) == (2, [])


def test_nothing_to_verify(settings: LocalHost) -> None:
    assert verify(settings) == (0, [])


def test_what_is_kept_by_content_is_there_at_undo_by_another(settings: LocalHost) -> None:
    path = "/etc/haproxy/a"
    keep = Change(
        host=settings.name,
        what="file a",
        before="3 bytes",
        want="gone",
        do=command("sh", "-c", 'mv "$1" "$KEEP/a"', "sh", path),
        undo=command("sh", "-c", '[ ! -e "$KEEP/a" ] || mv "$KEEP/a" "$1"', "sh", path),
        lasting=True,
    )
    settings.run_id = "a run: with/odd 'name'"
    settings.apply([keep])
    assert not place(settings, "a").exists()
    assert rollback(other(settings), settings.run_id).left == []
    assert value(settings, "a") == "old"


def test_a_script_waits_for_the_one_before(settings: LocalHost) -> None:
    """That of a killed controller may still be at work."""
    slow = replace(setting(settings, "a", "old", "1"), do=command("sh", "-c", "sleep 0.5; echo 1 > /etc/haproxy/a"))
    script = journal.apply_script([slow], "killed", "/run/bmt")
    at_work = settings.start(["sh", "-c", script])
    deadline = time.monotonic() + 5
    while '"do"' not in settings.run(["cat", "/run/bmt/journal.jsonl"], check=False).stdout:
        assert time.monotonic() < deadline
    assert rollback(other(settings), None, clean=False).undone == ["setting a"]
    at_work.wait(5)
    assert value(settings, "a") == "old"


def test_entries_hold_all_that_undo_needs(settings: LocalHost) -> None:
    it = setting(settings, "a", "old", "1")
    settings.apply([it])
    (entry,) = open_changes(settings).entries
    assert (entry.undo, entry.check, entry.expect, entry.lasting) == (it.undo, it.check, "1", True)
    assert json.dumps(vars(entry), default=vars)
    assert shutil.which("flock")
    assert os.path.exists(settings.root / "run/bmt/busy")


def test_a_script_whose_controller_does_not_hold_the_host_any_more_does_nothing(settings: LocalHost) -> None:
    """It waited for its turn, its controller was killed, and another one has rolled back meanwhile."""
    first = acquire(settings, owner_now("run-1"))
    script = journal.apply_script([setting(settings, "a", "old", "1")], "run-1", "/run/bmt", settings.guard)
    first.release()
    assert settings.guard == ""
    second = acquire(settings, owner_now("run-2"))
    result = settings.run(["sh", "-s"], stdin=script, check=False)
    assert (result.rc, result.stderr) == (95, "this host is not held any more\n")
    assert value(settings, "a") == "old"
    assert open_changes(settings).entries == []
    settings.apply([setting(settings, "a", "old", "2")])
    assert value(settings, "a") == "2"
    second.release()
