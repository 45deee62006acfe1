"""A program that runs in the background and writes a pid file: start it, stop it, see that it runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bmtlib.cpus import to_list
from bmtlib.setup.change import Change, command

# A process that has ended and that nobody has buried yet (state Z) holds nothing: it counts as gone.
_ALIVE = """\
alive() { grep -qs '^State:[[:space:]][^ZX]' "/proc/$1/status"; }
"""
# Both wait for a condition: programs write their pid file a moment after they have detached. 5 s at the most, and 5 s
# more after SIGKILL.
_RUNNING = f"""\
{_ALIVE}
i=0; while [ $i -lt 250 ]; do
  [ -s "$1" ] && alive "$(head -n 1 "$1")" && {{ echo running; exit 0; }}
  sleep 0.02; i=$((i+1))
done; echo "not running"
"""
_STOP = f"""\
{_ALIVE}
[ -s "$1" ] || exit 0
pid=$(head -n 1 "$1"); kill -TERM "$pid" 2>/dev/null
i=0; while alive "$pid"; do
  [ $i -ne 250 ] || kill -KILL "$pid"
  [ $i -lt 500 ] || {{ echo "process $pid does not end" >&2; exit 1; }}
  sleep 0.02; i=$((i+1))
done; rm -f "$1"
"""
# A daemon must not keep our pipes: we would wait for it for ever. What it says while it starts goes to a file.
_START = 'out="$1"; shift; "$@" >"$out" 2>&1 </dev/null || { rc=$?; cat "$out" >&2; exit $rc; }'


def service(
    host: str, start: Sequence[str], *, cpus: Iterable[int], pid_file: str, work: str, reason: str = ""
) -> Change:
    """Start `start` on `cpus` (it must detach by itself); undo stops exactly the process in `pid_file`."""
    return Change(
        host=host,
        what=f"process {start[0]}",
        before=None,
        want=f"running on CPU {to_list(cpus)}",
        do=command("sh", "-c", _START, "sh", f"{work}/{start[0]}.out", "taskset", "-c", to_list(cpus), *start),
        undo=command("sh", "-c", _STOP, "sh", pid_file),
        check=command("sh", "-c", _RUNNING, "sh", pid_file),
        expect="running",
        reason=reason,
    )
