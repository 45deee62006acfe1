"""A program that runs in the background and writes a pid file: start it, stop it, see that it runs, and where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from bmtlib.cpus import to_list
from bmtlib.setup.change import Change, command
from bmtlib.setup.isolation import ENTER, SLICE
from bmtlib.setup.pinning import ALIVE, pinned_check
from bmtlib.setup.units import Unit

# $1 pid file. A mark says that it was we who started it. Waits for a condition: 5 s at the most, and 5 s more after
# SIGKILL.
_STOP = f"""\
{ALIVE}
mark=$KEEP/started-$(printf %s "$1" | tr / %)
[ -e "$mark" ] || exit 0
[ -s "$1" ] || {{ rm -f "$mark"; exit; }}
pid=$(head -n 1 "$1"); kill -TERM "$pid" 2>/dev/null
i=0; while alive "$pid"; do
  [ $i -ne 250 ] || kill -KILL "$pid"
  [ $i -lt 500 ] || {{ echo "process $pid does not end" >&2; exit 1; }}
  sleep 0.02; i=$((i+1))
done; rm -f "$1" "$mark"
"""
# $1 file for what it says, $2 CPUs, $3 pid file, then the command. A daemon must not keep our pipes: we would wait for
# it for ever. What it says while it starts goes to a file.
_START = f"""\
out=$1; cpus=$2; mark=$KEEP/started-$(printf %s "$3" | tr / %); shift 3; set -- taskset -c "$cpus" "$@"
{ENTER}\
mkdir -p "${{out%/*}}" && : > "$mark" || exit
"$@" >"$out" 2>&1 </dev/null || {{ rc=$?; cat "$out" >&2; rm -f "$mark"; exit $rc; }}
"""

# $1 unit, $2 its file, $3 CPUs. They may have been set aside at run time (isolation.py): then the unit goes into their
# slice, by a file beside it that no reboot outlives. The unit's own file may be there from a run that was to stay: kept
# by content like any other.
_UNIT = """\
kept=$KEEP/$(printf %s "$2" | tr / %); beside=/run/systemd/system/$1.d
give_back() {
  [ -e "$kept" ] || [ -e "$kept.none" ] || return 0
  systemctl -q stop "$1" 2>/dev/null
  ! systemctl -q is-active "$1" || { echo "$1 does not end" >&2; return 1; }
  if [ ! -e "$kept" ]; then rm -f "$2"
  else cp -a "$kept" "$2.bmt-new" && mv -f "$2.bmt-new" "$2"; fi || return
  rm -f "$beside/bmt-slice.conf" "$2.bmt-new"; rmdir "$beside" 2>/dev/null
  systemctl daemon-reload && rm -f "$kept" "$kept.none" "$kept.new" || return
  systemctl -q reset-failed "$1" 2>/dev/null; return 0
}
"""
_START_UNIT = f"""\
{_UNIT}
if [ -e "$kept" ] || [ -e "$kept.none" ]; then :
elif systemctl -q is-active "$1"; then echo "$1 runs already, left by another run: bmt rollback" >&2; exit 1
elif [ -e "$2" ]; then cp -a "$2" "$kept.new" && mv -f "$kept.new" "$kept"
else : > "$kept.none"; fi || exit
start() {{
  cat > "$2.bmt-new" && chmod 644 "$2.bmt-new" && mv -f "$2.bmt-new" "$2" || return
  if [ -d /sys/fs/cgroup/{SLICE} ] && ! taskset -c "$3" true 2>/dev/null; then
    mkdir -p "$beside" && printf '%s\\n' '[Service]' 'Slice={SLICE}' > "$beside/bmt-slice.conf" || return
  fi
  systemctl daemon-reload && systemctl restart "$1"
}}
start "$@" && exit
systemctl status --no-pager --lines=5 "$1" >&2
give_back "$@"; exit 1
"""
_STOP_UNIT = _UNIT + 'give_back "$@"\n'


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
    """Start `start` on `cpus` (it must detach by itself); undo stops what was started, and nothing else.

    The check sees where the threads of the process in `pid_file` may run: on `cpus`, or on the lists in `threads` if it
    pins them itself.
    """
    name, on = PurePosixPath(start[0]).name, to_list(cpus)
    check, expect = pinned_check(pid_file, threads or [on])
    return Change(
        host=host,
        what=f"process {name}",
        before=None,
        want=f"running on CPU {on}",
        do=command("sh", "-c", _START, "sh", f"{work}/{name}.out", on, pid_file, *start),
        undo=command("sh", "-c", _STOP, "sh", pid_file),
        check=check,
        expect=expect,
        reason=reason,
    )


def unit_service(
    host: str,
    unit: Unit,
    *,
    cpus: Iterable[int],
    pid_file: str,
    threads: Sequence[str] = (),
    reason: str = "",
    running: str = "",
    present: str | None = None,
) -> list[Change]:
    """As `service`, by a unit of systemd; undo stops it, and brings back or removes its file.

    No change where it runs already as the check wants it (`running`, in the words of pinning.py) and by the same file
    (`present`: what the file holds now). Where it runs otherwise, units.stop_ours comes first, before its configuration
    is changed: an undo starts it again after that is back.
    """
    on = to_list(cpus)
    check, expect = pinned_check(pid_file, threads or [on])
    if running == expect and present == unit.text:
        return []
    return [
        Change(
            host=host,
            what=f"unit {unit.name}",
            before=None,
            want=f"running on CPU {on}",
            do=command("sh", "-c", _START_UNIT, "sh", unit.name, unit.path, on, stdin=unit.text),
            undo=command("sh", "-c", _STOP_UNIT, "sh", unit.name, unit.path),
            check=check,
            expect=expect,
            reason=reason,
            lasting=True,
            seconds=40,
        )
    ]
