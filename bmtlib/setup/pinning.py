"""Whether a program's threads run on the CPUs that they were given: read from /proc, not believed."""

from __future__ import annotations

from collections.abc import Iterable

from bmtlib.setup.change import Command, command

# A process that has ended and that nobody has buried yet (state Z) holds nothing: it counts as gone.
ALIVE = """\
alive() { grep -qs '^State:[[:space:]][^ZX]' "/proc/$1/status"; }
"""
# allowed PID: where the threads of a process and of its children (nginx's workers) may run. The same list counts once,
# as it does not matter how many threads share it.
ALLOWED = """\
allowed() {
  kids=; read -r kids 2>/dev/null < "/proc/$1/task/$1/children"
  for p in "$1" $kids; do cat "/proc/$p/task/"[0-9]*/status 2>/dev/null; done |
    sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' | LC_ALL=C sort -u
}
"""
# $1 pid file, $2 what shall be. Programs write their pid file a moment after they have detached, and pin their threads
# a moment after that: waited for, 5 s at the most. What there is then is printed.
_LOOK = f"""\
{ALIVE}{ALLOWED}
i=0; said="not running"
while :; do
  if [ -s "$1" ] && read -r pid < "$1" && alive "$pid"; then said="running on $(echo $(allowed "$pid"))"; fi
  [ "$said" != "$2" ] && [ $i -lt 250 ] || break
  sleep 0.02; i=$((i+1))
done; echo "$said"
"""


def pinned_check(pid_file: str, lists: Iterable[str]) -> tuple[Command, str]:
    """A change's check and what it expects: the process in `pid_file` runs, its threads on exactly these CPU lists.

    HAProxy with two threads by `cpu-map auto:1/1-2 2-3`: ["2", "3"]. Two workers of nginx under `taskset -c 0-1`:
    ["0-1"].

    >>> pinned_check("/run/haproxy.pid", ["3", "2"])[1]
    'running on 2 3'
    """
    expect = f"running on {' '.join(sorted(set(lists)))}"
    return command("sh", "-c", _LOOK, "sh", pid_file, expect), expect
