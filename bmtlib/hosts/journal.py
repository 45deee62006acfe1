"""Changes as one shell script per host: journal the old value on the host, do, read back, say how far it came.

One script is one round trip, in a lab as over SSH; and the journal lies where the change was made, so that it
can be undone after the controller is gone.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

from bmtlib.setup.change import Change, Command

_PRELUDE = """\
umask 022
mkdir -p {folder} && cd {folder} || exit 90
exec 3>&1; set -f
same() {{ want=$2; set -- $1; [ "$*" = "$want" ]; }}
"""


def _shell(command: Command) -> str:
    words = shlex.join(command.argv)
    return f"printf '%s' {shlex.quote(command.stdin)} | {words}" if command.stdin else words


def _entry(change: Change, run_id: str, kind: str) -> str:
    entry = {"run": run_id, kind: change.what, "before": change.before, "want": change.want}
    if kind == "do":
        entry["undo"] = {"argv": list(change.undo.argv), "stdin": change.undo.stdin}  # type: ignore[assignment]
    return f"printf '%s\\n' {shlex.quote(json.dumps(entry))} >> journal.jsonl || exit 91"


def apply_script(changes: Sequence[Change], run_id: str, folder: str) -> str:
    """Script that prints `done` for each change that was done and read back, and stops at the first that was not."""
    lines = [_PRELUDE.format(folder=shlex.quote(folder))]
    for change in changes:
        lines.append(_entry(change, run_id, "do"))
        # Not a command's to have: the script on standard input, and our way to say `done` (a daemon would keep it).
        lines.append(f"{{ {_shell(change.do)}; }} </dev/null >&2 3>&- || exit 92")
        if change.check is not None:
            expect = shlex.quote(" ".join(change.expect.split()))
            complaint = shlex.quote(f"{change.what}: the host accepted it and did not take it; it says: ")
            lines.append(f"got=$({{ {_shell(change.check)}; }} </dev/null 3>&-)")
            lines.append(f'same "$got" {expect} || {{ printf "%s%s\\n" {complaint} "$got" >&2; exit 93; }}')
        lines.append("echo done >&3")
    return "\n".join(lines) + "\n"


def undo_script(changes: Sequence[Change], run_id: str, folder: str) -> str:
    """Script that undoes `changes` in the order given and journals each as undone."""
    lines = [_PRELUDE.format(folder=shlex.quote(folder))]
    for change in changes:
        lines.append(f"{{ {_shell(change.undo)}; }} </dev/null >&2 3>&- || exit 94")
        lines.append(_entry(change, run_id, "undone"))
        lines.append("echo done >&3")
    return "\n".join(lines) + "\n"


def done_count(stdout: str) -> int:
    """How many changes a script finished.

    >>> done_count("done\\ndone\\n")
    2
    """
    return stdout.splitlines().count("done")
