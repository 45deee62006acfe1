"""A program that runs in the background and writes a pid file: start it, stop it, see that it runs, and where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bmtlib.cpus import to_list
from bmtlib.setup.change import Change, command
from bmtlib.setup.isolation import ENTER
from bmtlib.setup.pinning import ALIVE, pinned_check

# Waits for a condition: 5 s at the most, and 5 s more after SIGKILL.
_STOP = f"""\
{ALIVE}
[ -s "$1" ] || exit 0
pid=$(head -n 1 "$1"); kill -TERM "$pid" 2>/dev/null
i=0; while alive "$pid"; do
  [ $i -ne 250 ] || kill -KILL "$pid"
  [ $i -lt 500 ] || {{ echo "process $pid does not end" >&2; exit 1; }}
  sleep 0.02; i=$((i+1))
done; rm -f "$1"
"""
# A daemon must not keep our pipes: we would wait for it for ever. What it says while it starts goes to a file.
_START = f"""\
out=$1; cpus=$2; shift 2; set -- taskset -c "$cpus" "$@"
{ENTER}\
"$@" >"$out" 2>&1 </dev/null || {{ rc=$?; cat "$out" >&2; exit $rc; }}
"""


def service(
    host: str,
    start: Sequence[str],
    *,
    cpus: Iterable[int],
    pid_file: str,
    work: str,
    threads: Sequence[str] = (),
    reason: str = "",
) -> Change:
    """Start `start` on `cpus` (it must detach by itself); undo stops exactly the process in `pid_file`.

    The check sees where its threads may run: on `cpus`, or on the lists in `threads` if it pins them itself.
    """
    check, expect = pinned_check(pid_file, threads or [to_list(cpus)])
    return Change(
        host=host,
        what=f"process {start[0]}",
        before=None,
        want=f"running on CPU {to_list(cpus)}",
        do=command("sh", "-c", _START, "sh", f"{work}/{start[0]}.out", to_list(cpus), *start),
        undo=command("sh", "-c", _STOP, "sh", pid_file),
        check=check,
        expect=expect,
        reason=reason,
    )
