"""The shell scripts a case runs on its hosts. Pure text: one script is one round trip, in a lab as over SSH.

Everything a script makes lies in the case's folder on the host and is fetched with one `tar`.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from bmtlib.measure.probes import Probe

# A probe that fails leaves its complaint (.err) and no output: half an answer would look like a whole one. What this
# shell can do by itself it does: hundreds of hosts of a lab share a few CPUs, and a process costs them milliseconds.
_KEEP = """\
keep() {
  f=$1; shift; "$@" > "$f.txt" 2> "$f.err" </dev/null && return
  rc=$?; rm -f "$f.txt"; [ -s "$f.err" ] || echo "ended with $rc" > "$f.err"
}
script() { ( eval "$1" ); }
"""
_DROP_EMPTY = """\
set --; for f in *.err; do [ -s "$f" ] || set -- "$@" "$f"; done; rm -f -- "$@"
"""

_COPY = 'FNR == 1 { print "### " now >> out } { print >> out }'


def _enter(folder: str) -> str:
    quoted = shlex.quote(folder)
    return f"cd {quoted} 2>/dev/null || {{ mkdir -p {quoted} && cd {quoted}; }} || exit 90\n"


def probe_script(folder: str, probes: Sequence[Probe], moment: str) -> str:
    """Take each probe once; files `<probe>.<moment>.txt`."""
    lines = [f"keep {shlex.quote(f'{probe.name}.{moment}')} {_words(probe.command)}" for probe in probes]
    return _enter(folder) + _KEEP + "\n".join(lines) + "\n" + _DROP_EMPTY


def _words(command: Sequence[str]) -> str:
    """A command as words of a shell. A script becomes part of ours: no shell has to be started for it."""
    if len(command) == 3 and tuple(command[:2]) == ("sh", "-c"):
        return f"script {shlex.quote(command[2])}"
    return shlex.join(command)


def sampler_script(folder: str, probes: Sequence[Probe], *, every_s: float, most: int) -> str:
    """Take each probe every `every_s` seconds until `stop_script` is run, `most` times at the most.

    Each sample starts with a line `### <epoch seconds>`; files `<probe>.during.txt`. The bound ends the loop also when
    nobody is left to stop it.
    """
    files = [probe for probe in probes if probe.command[0] == "cat"]
    samples = "\n".join(
        f'{{ echo "### $now"; {shlex.join(probe.command)}; }} </dev/null 2>> during.err'
        f" >> {shlex.quote(probe.name)}.during.txt"
        for probe in probes
        if probe not in files
    )
    if files:
        # All files by one process: every process of an observer takes time from those observed.
        operands = [word for probe in files for word in (f"out={probe.name}.during.txt", probe.command[1])]
        samples += f'\nawk -v now="$now" {shlex.quote(_COPY)} {shlex.join(operands)} </dev/null 2>> during.err'
    return (
        _enter(folder)
        + f"i=0\nwhile [ $i -lt {most} ] && [ ! -e stop ]; do\nnow=$(date +%s.%N)\n{samples}\n"
        # `stop` is looked for once more when the sleep can be killed, or it could come in between; and the number of a
        # sleep that is over is wiped out, since another process may have it next.
        + f"sleep {every_s:g} & echo $! > sleeper; [ ! -e stop ] || kill $!; wait $!; : > sleeper; i=$((i+1))\ndone\n"
        + "rm -f stop sleeper; [ -s during.err ] || rm -f during.err\n"
    )


def stop_script(folder: str) -> str:
    """End the sampler after the sample under way: it does not sleep to the end of its second."""
    return f'cd {shlex.quote(folder)} && : > stop && kill "$(cat sleeper)" 2>/dev/null; true'


def load_script(folder: str, command: Sequence[str], start_ns: int, name: str = "ab") -> str:
    """Wait for the clock to show `start_ns`, note the instant, run the load, note the end and the exit code.

    Files `<name>.start`, `.txt`, `.err`, `.rc` and `.end`: `name` is that of the load generator.

    The instant noted is the last thing before the load generator is started, so skew between clients is what was
    achieved, not what was asked.
    """
    return (
        _enter(folder)
        + f"left=$(( {start_ns} - $(date +%s%N) ))\n"
        + '[ $left -le 0 ] || sleep "$((left / 1000000000)).$(printf %09d $((left % 1000000000)))"\n'
        + f"date +%s%N > {name}.start\n"
        + f"{shlex.join(command)} > {name}.txt 2> {name}.err </dev/null\n"
        # What the load generator cost in CPU time is known to nobody once its parent is gone.
        + f"echo $? > {name}.rc; date +%s%N > {name}.end; times > load.times\n"
        + f"[ ! -s {name}.err ] || date -r {name}.err +%s%N > {name}.finished\n"
    )


def held_script(folder: str, command: Sequence[str], name: str = "ab") -> str:
    """Become the load generator, whose output goes to whoever holds it (`hosts.gate`)."""
    return _enter(folder) + f"exec {shlex.join(command)} 2> {name}.err\n"
