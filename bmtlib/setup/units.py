"""Services under systemd: units of ours for nginx and HAProxy, and those of the host that must stand aside meanwhile.

Sources: systemd.unit(5), systemd.service(5) for Type=forking and PIDFile, systemd.exec(5) for LimitNOFILE and
CPUAffinity.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from bmtlib.cpus import to_list
from bmtlib.setup.change import Change, Command, command
from bmtlib.setup.pinning import ALIVE
from bmtlib.setup.sysctl import NotApplied
from bmtlib.setup.system_script import PID_FILES, UNIT_FOLDER
from bmtlib.setup.template import render

if TYPE_CHECKING:
    from bmtlib.setup.system import Process, System

# Servers that may be stopped for a test, as they do what nginx and HAProxy are to do. Nothing else is.
_SERVERS = ("nginx", "haproxy", "httpd", "apache2", "lighttpd")


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A unit file of ours; its name starts with "bmt-". It is never enabled."""

    name: str
    text: str

    @property
    def path(self) -> str:
        return f"{UNIT_FOLDER}/{self.name}"


def nginx_unit(host: str, *, nofile: int, cpus: Iterable[int]) -> Unit:
    """nginx as the packages have it, on `cpus`, with `nofile` open files: soft limit and hard."""
    text = render("bmt-nginx.service", host=host, nofile=nofile, cpus=to_list(cpus), pid_file=PID_FILES["nginx"])
    return Unit(name="bmt-nginx.service", text=text)


def haproxy_unit(host: str, *, program: str, config: str, pid_file: str, nofile: int, cpus: Iterable[int]) -> Unit:
    """HAProxy in the background. `program` is a path, or a name in /usr/sbin; `config` names `pid_file` itself."""
    text = render(
        "bmt-haproxy.service",
        host=host,
        program=_word(str(PurePosixPath("/usr/sbin") / program)),
        config=_word(config),
        pid_file=pid_file.replace("%", "%%"),
        nofile=nofile,
        cpus=to_list(cpus),
    )
    return Unit(name="bmt-haproxy.service", text=text)


def _word(text: str) -> str:
    """One word of a command line in a unit file: quoted, so that systemd takes it as it is.

    >>> _word("/opt/bmt/haproxy-2.2.25/sbin/haproxy"), _word("/opt/50% off/x")
    ('/opt/bmt/haproxy-2.2.25/sbin/haproxy', '"/opt/50%% off/x"')
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(mark in text for mark in " \t\"'\\;") else escaped


# $1 unit. A mark says that it was we who stopped it.
_STOP_UNIT = """
: > "$KEEP/stopped-$1" && systemctl stop "$1" && exit
systemctl start "$1"; rm -f "$KEEP/stopped-$1"; exit 1
"""
_START_UNIT = """
[ -e "$KEEP/stopped-$1" ] || exit 0
systemctl start "$1" && rm -f "$KEEP/stopped-$1"
"""
_STOPPED_UNIT = 'systemctl -q is-active "$1" && echo active || echo stopped'

# $1 process id, $2 its command line as the kernel had it, in base64: by now another process may have the number.
_STOP_PROCESS = f"""
{ALIVE}
same() {{ [ "$(base64 -w 0 "/proc/$1/cmdline")" = "$2" ]; }}
alive "$1" && same "$1" "$2" || {{ echo "process $1 is not there any more: plan again" >&2; exit 1; }}
: > "$KEEP/stopped-$1" && kill -TERM "$1" || exit
i=0; while alive "$1"; do
  [ $i -lt 500 ] || {{ echo "process $1 does not end" >&2; exit 1; }}
  sleep 0.02; i=$((i+1))
done
"""
# $1 process id and $2 command line that it had, then what starts it. What was told to end a moment ago is waited for.
_START_PROCESS = f"""
{ALIVE}
[ -e "$KEEP/stopped-$1" ] || exit 0
mark=$KEEP/stopped-$1; pid=$1; line=$2; shift 2
runs() {{ alive "$pid" && [ "$(base64 -w 0 "/proc/$pid/cmdline")" = "$line" ]; }}
i=0; while runs && [ $i -lt 50 ]; do sleep 0.02; i=$((i+1)); done
runs || {{ command -v "$1" >/dev/null || {{ echo "$1 is not there to be started again" >&2; exit 1; }}
  setsid "$@" </dev/null >/dev/null 2>&1 & }}
rm -f "$mark"
"""
_STOPPED_PROCESS = f'{ALIVE}alive "$1" && echo active || echo stopped'


def unit_stopped(unit: str) -> tuple[Command, Command]:
    """Stop a service; and start it again, if this stopped it."""
    return command("sh", "-c", _STOP_UNIT, "sh", unit), command("sh", "-c", _START_UNIT, "sh", unit)


def process_stopped(pid: int, line: str, words: Sequence[str]) -> tuple[Command, Command]:
    """Stop the process `pid` with the command line `line` (base64); and start `words`, if this stopped it."""
    number = str(pid)
    return (
        command("sh", "-c", _STOP_PROCESS, "sh", number, line),
        command("sh", "-c", _START_PROCESS, "sh", number, line, *words),
    )


def stop_unit(host: str, unit: str, *, reason: str) -> Change:
    """Stop a service that is active; undo starts it. Whether it starts at boot is left as it is."""
    do, undo = unit_stopped(unit)
    return Change(
        host=host,
        what=f"unit {unit}",
        before="active",
        want="stopped",
        do=do,
        undo=undo,
        check=command("sh", "-c", _STOPPED_UNIT, "sh", unit),
        expect="stopped",
        reason=reason,
        seconds=30,
    )


def stop_process(host: str, process: Process, *, reason: str) -> Change:
    """Stop a process that no unit has started; undo starts its command line again."""
    do, undo = process_stopped(process.pid, process.line, process.words)
    return Change(
        host=host,
        what=f"process {process.name} ({process.pid})",
        before="running",
        want="stopped",
        do=do,
        undo=undo,
        check=command("sh", "-c", _STOPPED_PROCESS, "sh", str(process.pid)),
        expect="stopped",
        reason=reason,
        seconds=30,
    )


def stop_ours(host: str, system: System, name: str) -> list[Change]:
    """Stop a service of ours that runs, before it starts with other settings; nothing where it does not run."""
    running = system.running.get(name)
    if running is None:
        return []
    return [_stop(host, system.processes[running.pid], reason="it starts again with the new settings")]


def stand_aside(
    host: str, system: System, *, names: Collection[str], ports: Collection[int], everywhere: bool
) -> tuple[list[Change], list[NotApplied]]:
    """Stop what would be in the way of our own service: servers called `names`, and what holds one of `ports`.

    `everywhere`: ours will listen on all addresses, so that one address in use is in its way as well. Another program
    than a web server or proxy is not stopped, but named.
    """
    changes: dict[str, Change] = {}
    skipped = []
    ours = {running.pid for running in system.running.values()}
    for address, port, pid in system.listeners:
        process = system.processes.get(pid)
        if process is None or {pid, process.parent} & ours or process.unit.startswith("bmt-"):
            continue
        if process.parent in {other for _, _, other in system.listeners}:
            continue  # a worker: its master ends it
        if process.name not in names and (
            port not in ports or not (address in ("*", "0.0.0.0") or (everywhere and "." in address))
        ):
            continue
        if process.name in _SERVERS:
            change = _stop(host, process, reason="our own takes its place for the test")
            changes.setdefault(change.what, change)
        else:
            why = f"{process.name} ({pid}) listens on {address}:{port}, and is no server that a test may stop"
            skipped.append(NotApplied(host=host, key=f"port {port}", want="free", now=process.name, why=why))
    for name in names:
        unit = f"{name}.service"
        if (state := system.units.get(unit)) and state.active == "active" and f"unit {unit}" not in changes:
            changes[f"unit {unit}"] = stop_unit(host, unit, reason="our own takes its place for the test")
    return list(changes.values()), skipped


def _stop(host: str, process: Process, *, reason: str) -> Change:
    return stop_unit(host, process.unit, reason=reason) if process.unit else stop_process(host, process, reason=reason)
