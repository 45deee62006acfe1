"""Changes as one shell script per host: journal the old value on the host, do, read back, say how far it came.

One script is one round trip, in a lab as over SSH; and the journal lies where the change was made, so that it can be
undone after the controller is gone, by another one, and after a reboot.
"""

from __future__ import annotations

import json
import shlex
import urllib.parse
from collections.abc import Sequence
from typing import Any

from bmtlib.hosts.entry import Entry
from bmtlib.setup.change import Change, Command

DO_FAILED = 92
UNDO_FAILED = 95

# Scripts of one host wait for each other: that of a controller that was killed may still be at work when the next
# comes. One whose controller does not hold the host any more when its turn comes does nothing. What a script starts
# must have neither the lock nor our way to say `done`: a daemon would keep them.
_PRELUDE = """\
umask 022
cd {folder} 2>/dev/null || {{ mkdir -p {folder} && cd {folder}; }} || exit 90
command -v flock >/dev/null || {{ echo "flock (util-linux) is missing" >&2; exit 90; }}
exec 8>>busy && flock -w 60 8 || {{ echo "another script of ours is still at work on this host" >&2; exit 94; }}
{guard}
exec 3>&1; set -f
[ ! -s journal.jsonl ] || [ -z "$(tail -c 1 journal.jsonl)" ] || echo >> journal.jsonl
read -r boot < /proc/sys/kernel/random/boot_id
used() {{ df -P . | awk 'NR == 2 {{ print $5 " of the disk is used" }}'; }}
note() {{
  printf '%s\\n' "$1" 2>/dev/null >> journal.jsonl && return
  echo "the journal in $PWD cannot be written: $(used)" >&2; exit 91
}}
same() {{ want=$2; set -- $1; [ "$*" = "$want" ]; }}
export KEEP
"""
_OFF = "3>&- 8>&-"


def _shell(command: Command) -> str:
    """The command as shell text. A script of our own becomes part of the text: no shell has to be started for it."""
    words = shlex.join(command.argv)
    if command.argv[:2] == ("sh", "-c"):
        script, arguments = command.argv[2], shlex.join(command.argv[4:])
        words = f"( set +f; set -- {arguments}\n{script}\n)"
    return f"printf '%s' {shlex.quote(command.stdin)} | {words}" if command.stdin else words


def _note(line: dict[str, Any]) -> str:
    """Shell that appends a line to the journal."""
    return f"note {shlex.quote(json.dumps(line))}"


def kept_in(folder: str, run_id: str) -> str:
    """The folder of $KEEP."""
    return f"{folder}/keep/{urllib.parse.quote(run_id, safe='')}"


def _prelude(folder: str, guard: str) -> str:
    return _PRELUDE.format(folder=shlex.quote(folder), guard=guard)


def _begin(folder: str, run_id: str, guard: str) -> list[str]:
    keep = shlex.quote(kept_in(folder, run_id))
    before, after = json.dumps({"run": run_id, "boot": "|"}).rsplit("|", 1)
    return [
        _prelude(folder, guard),
        f'KEEP={keep}; [ -d "$KEEP" ] || mkdir -p "$KEEP" || exit 90',
        f'note {shlex.quote(before)}"$boot"{shlex.quote(after)}',
    ]


def _outcome(change: Change | Entry, run_id: str, kind: str) -> str:
    """`kind`: failed (nothing was done), undone."""
    return _note({"run": run_id, kind: change.what})


def _done(change: Change, run_id: str) -> str:
    line = {
        "run": run_id,
        "do": change.what,
        "before": change.before,
        "want": change.want,
        "lasting": change.lasting,
        "undo": {"argv": list(change.undo.argv), "stdin": change.undo.stdin},
        "check": change.check and {"argv": list(change.check.argv), "stdin": change.check.stdin},
        "expect": change.expect,
    }
    # What outlives a reboot must be in a journal that does, also when the power fails in the next moment. A sysctl does
    # so by a file alone, which is journaled behind it.
    sync = change.lasting and not change.what.startswith("sysctl ")
    return _note(line) + ("; sync journal.jsonl 2>/dev/null" if sync else "")


def apply_script(changes: Sequence[Change], run_id: str, folder: str, guard: str = "") -> str:
    """Script that prints `done` for each change that was done and read back, and stops at the first that was not.

    Ends with DO_FAILED when a `do` failed (it must then have left the host as it was), else with another code. For
    a change that may be refused it prints `refused` and why, and goes on. `guard`: shell that ends it first of all
    where it may not work any more.
    """
    return "\n".join([*_begin(folder, run_id, guard), *_apply(changes, run_id)]) + "\n"


def _apply(changes: Sequence[Change], run_id: str) -> list[str]:
    lines = []
    for change in changes:
        lines.append(_done(change, run_id))
        if change.may_refuse:
            lines.append(_try(change, run_id))
            continue
        failed = f"{{ {_outcome(change, run_id, 'failed')}; exit {DO_FAILED}; }}"
        lines.append(f"{{ {_shell(change.do)}; }} </dev/null >&2 {_OFF} || {failed}")
        if change.check is not None:
            expect = shlex.quote(" ".join(change.expect.split()))
            complaint = shlex.quote(f"{change.what}: the host accepted it and did not take it; it says: ")
            lines.append(f"got=$({{ {_shell(change.check)}; }} </dev/null {_OFF})")
            lines.append(f'same "$got" {expect} || {{ printf "%s%s\\n" {complaint} "$got" >&2; exit 93; }}')
        lines.append("echo done >&3")
    return lines


def _try(change: Change, run_id: str) -> str:
    """Shell for a change that may be refused. Half of it may have been done, so it is undone either way."""
    complaint = shlex.quote(f"{change.what}: the host refused it, and half of it cannot be undone")
    lines = ["refused=", f"said=$({{ {_shell(change.do)}; }} </dev/null 2>&1 {_OFF}) || refused=yes"]
    if change.check is not None:
        expect = shlex.quote(" ".join(change.expect.split()))
        lines.append(f"got=$({{ {_shell(change.check)}; }} </dev/null {_OFF})")
        lines.append(f'[ -n "$refused" ] || same "$got" {expect} || {{ refused=yes; said="it took: $got; $said"; }}')
    return "\n".join(
        [
            *lines,
            'if [ -z "$refused" ]; then echo done >&3; else',
            f"{{ {_shell(change.undo)}; }} </dev/null >&2 {_OFF} || {{ echo {complaint} >&2; exit 93; }}",
            _outcome(change, run_id, "undone"),
            """printf 'refused %s\\n' "$(printf '%s' "$said" | tr '\\n\\r' '  ' | cut -c 1-400)" >&3""",
            "fi",
        ]
    )


def switch_script(gone: Sequence[Change], changes: Sequence[Change], run_id: str, folder: str, guard: str = "") -> str:
    """Script that undoes `gone` as `undo_script` does, and then applies `changes` as `apply_script` does.

    Where something could not be undone it ends before the second part.
    """
    undone = [_undo(change, run_id, failed="left=yes; ") for change in gone]
    stop = f'[ -z "$left" ] || exit {UNDO_FAILED}'
    return "\n".join([*_begin(folder, run_id, guard), "left=", *undone, stop, *_apply(changes, run_id)]) + "\n"


def undo_script(changes: Sequence[Change], run_id: str, folder: str, guard: str = "") -> str:
    """Script that undoes `changes` in the order given: prints `done` or `failed` for each, journals those undone.

    One that cannot be undone does not keep the others from it.
    """
    return "\n".join([*_begin(folder, run_id, guard), *(_undo(change, run_id) for change in changes)]) + "\n"


def rollback_script(entries: Sequence[Entry], folder: str, boot: str, guard: str = "") -> str:
    """As `undo_script`, for what the journal on the host says. `boot`: its present one; a reboot undoes by itself."""
    lines = [_prelude(folder, guard)]
    for entry in entries:
        if entry.gone(boot):
            lines.append(f"{_outcome(entry, entry.run, 'undone')}; echo done >&3")
        else:
            lines.append(f"KEEP={shlex.quote(kept_in(folder, entry.run))}\n{_undo(entry, entry.run)}")
    return "\n".join(lines) + "\n"


def _undo(change: Change | Entry, run_id: str, failed: str = "") -> str:
    """`failed`: shell for where it cannot be undone."""
    # Not noted (a full disk), it is undone once more one day, which does nothing.
    undone = f"( {_outcome(change, run_id, 'undone')} ) 2>/dev/null; echo done >&3"
    return f"if {{ {_shell(change.undo)}; }} </dev/null >&2 {_OFF}; then {undone}; else {failed}echo failed >&3; fi"


def verify_script(entries: Sequence[Entry], folder: str) -> str:
    """Script that prints, for each entry in order, `same`, or `drift` and what is in force instead."""
    lines = [_prelude(folder, "")]
    for entry in entries:
        if entry.check is None:
            lines.append("echo same >&3")
            continue
        expect = shlex.quote(" ".join(entry.expect.split()))
        lines.append(f"got=$({{ {_shell(entry.check)}; }} </dev/null 2>&1 {_OFF})")
        lines.append(
            f"""if same "$got" {expect}; then echo same >&3; """
            """else printf 'drift %s\\n' "$(printf '%s' "$got" | tr '\\n\\r' '  ' | cut -c 1-200)" >&3; fi"""
        )
    return "\n".join(lines) + "\n"


def keep_script(run_id: str, folder: str) -> str:
    """Script that notes that a run's changes are meant to stay."""
    return "\n".join([*_begin(folder, run_id, ""), _note({"run": run_id, "kept": True})]) + "\n"


def outcomes(stdout: str) -> list[str]:
    """How each change ended, as far as a script came: `done`, `failed`, or `refused` and why.

    >>> outcomes("done\\nfailed\\nrefused not supported\\n")
    ['done', 'failed', 'refused not supported']
    """
    return [line for line in stdout.splitlines() if line in ("done", "failed") or line.startswith("refused ")]
