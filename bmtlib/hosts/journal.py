"""Changes as one shell script per host: journal the old value on the host, do, read back, say how far it came.

One script is one round trip, in a lab as over SSH; and the journal lies where the change was made, so that it
can be undone after the controller is gone.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

from bmtlib.setup.change import Change, Command

DO_FAILED = 92

_PRELUDE = """\
umask 022
mkdir -p {folder} && cd {folder} || exit 90
exec 3>&1; set -f
same() {{ want=$2; set -- $1; [ "$*" = "$want" ]; }}
"""


def _shell(command: Command) -> str:
    """The command as shell text. A script of our own becomes part of the text: no shell has to be started for it."""
    words = shlex.join(command.argv)
    if command.argv[:2] == ("sh", "-c"):
        script, arguments = command.argv[2], shlex.join(command.argv[4:])
        words = f"( set +f; set -- {arguments}\n{script}\n)"
    return f"printf '%s' {shlex.quote(command.stdin)} | {words}" if command.stdin else words


def _entry(change: Change, run_id: str, kind: str) -> str:
    """Shell that appends a line to the journal; `kind` is do, failed (nothing was done) or undone."""
    entry = {"run": run_id, kind: change.what, "before": change.before, "want": change.want}
    if kind == "do":
        entry["undo"] = {"argv": list(change.undo.argv), "stdin": change.undo.stdin}  # type: ignore[assignment]
    return f"printf '%s\\n' {shlex.quote(json.dumps(entry))} >> journal.jsonl || exit 91"


def apply_script(changes: Sequence[Change], run_id: str, folder: str) -> str:
    """Script that prints `done` for each change that was done and read back, and stops at the first that was not.

    Ends with DO_FAILED when a `do` failed (it must then have left the host as it was), else with another code. For
    a change that may be refused it prints `refused` and why, and goes on.
    """
    lines = [_PRELUDE.format(folder=shlex.quote(folder))]
    for change in changes:
        lines.append(_entry(change, run_id, "do"))
        if change.may_refuse:
            lines.append(_try(change, run_id))
            continue
        # Not a command's to have: the script on standard input, and our way to say `done` (a daemon would keep it).
        failed = f"{{ {_entry(change, run_id, 'failed')}; exit {DO_FAILED}; }}"
        lines.append(f"{{ {_shell(change.do)}; }} </dev/null >&2 3>&- || {failed}")
        if change.check is not None:
            expect = shlex.quote(" ".join(change.expect.split()))
            complaint = shlex.quote(f"{change.what}: the host accepted it and did not take it; it says: ")
            lines.append(f"got=$({{ {_shell(change.check)}; }} </dev/null 3>&-)")
            lines.append(f'same "$got" {expect} || {{ printf "%s%s\\n" {complaint} "$got" >&2; exit 93; }}')
        lines.append("echo done >&3")
    return "\n".join(lines) + "\n"


def _try(change: Change, run_id: str) -> str:
    """Shell for a change that may be refused. Half of it may have been done, so it is undone either way."""
    complaint = shlex.quote(f"{change.what}: the host refused it, and half of it cannot be undone")
    lines = ["refused=", f"said=$({{ {_shell(change.do)}; }} </dev/null 2>&1 3>&-) || refused=yes"]
    if change.check is not None:
        expect = shlex.quote(" ".join(change.expect.split()))
        lines.append(f"got=$({{ {_shell(change.check)}; }} </dev/null 3>&-)")
        lines.append(f'[ -n "$refused" ] || same "$got" {expect} || {{ refused=yes; said="it took: $got; $said"; }}')
    return "\n".join(
        [
            *lines,
            'if [ -z "$refused" ]; then echo done >&3; else',
            f"{{ {_shell(change.undo)}; }} </dev/null >&2 3>&- || {{ echo {complaint} >&2; exit 93; }}",
            _entry(change, run_id, "undone"),
            """printf 'refused %s\\n' "$(printf '%s' "$said" | tr '\\n\\r' '  ' | cut -c 1-400)" >&3""",
            "fi",
        ]
    )


def undo_script(changes: Sequence[Change], run_id: str, folder: str) -> str:
    """Script that undoes `changes` in the order given: prints `done` or `failed` for each, journals those undone.

    One that cannot be undone does not keep the others from it.
    """
    lines = [_PRELUDE.format(folder=shlex.quote(folder))]
    for change in changes:
        undone = f"{_entry(change, run_id, 'undone')}; echo done >&3"
        lines.append(f"if {{ {_shell(change.undo)}; }} </dev/null >&2 3>&-; then {undone}; else echo failed >&3; fi")
    return "\n".join(lines) + "\n"


def outcomes(stdout: str) -> list[str]:
    """How each change ended, as far as a script came: `done`, `failed`, or `refused` and why.

    >>> outcomes("done\\nfailed\\nrefused not supported\\n")
    ['done', 'failed', 'refused not supported']
    """
    return [line for line in stdout.splitlines() if line in ("done", "failed") or line.startswith("refused ")]
