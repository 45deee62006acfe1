"""What lets clients in: an open port in the host's firewall, and what SELinux asks of a web server.

Firewalls: firewall-cmd(1), ufw(8). SELinux, from the policy of Fedora and RHEL (selinux-policy: contrib/apache.te,
contrib/rhcs.te and rhcs.if, kernel/corenetwork.te.in): nginx under systemd is httpd_t, HAProxy haproxy_t. Both may
bind ports of the types http_port_t and http_cache_port_t, and HAProxy may connect to them (haproxy_connect_any is for
others). Both get a type of their own for what they make in a folder of var_run_t (files_pid_filetrans), as pid files,
sockets and temporary folders are, and httpd_t for its logs in /var/log (logging_log_filetrans). Static files are read
only where they have a type such as httpd_sys_content_t. httpd_t may not raise its own hard limits (httpd_setrlimit is
off): its unit does it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bmtlib.setup.change import Change, command
from bmtlib.setup.sysctl import NotApplied

if TYPE_CHECKING:
    from bmtlib.setup.system import System

# corenetwork.te.in: network_port(http, ...), network_port(http_cache, ...); TCP.
_WEB_PORTS = frozenset({80, 81, 443, 488, 8008, 8009, 8443, 9000, 8080, 8118, 8123, *range(10001, 10011)})
_WEB_TYPES = ("http_port_t", "http_cache_port_t")
# firewalld's own services for these ports (/usr/lib/firewalld/services).
_SERVICES = {80: "http", 443: "https"}
_CONTENT = "httpd_sys_content_t"

# $1 zone, $2 port. A mark says that it was closed before. Only the running firewall is changed: nothing is left after a
# reboot, nor when the firewall itself is restarted.
_OPEN = """
firewall-cmd --quiet --zone="$1" --query-port="$2" && exit
: > "$KEEP/firewalld-$1-${2%/*}" && firewall-cmd --quiet --zone="$1" --add-port="$2"
"""
_CLOSE = """
mark=$KEEP/firewalld-$1-${2%/*}; [ -e "$mark" ] || exit 0
if firewall-cmd --quiet --state && firewall-cmd --quiet --zone="$1" --query-port="$2"; then
  firewall-cmd --quiet --zone="$1" --remove-port="$2" || exit
fi
rm -f "$mark"
"""
# $1 port. ufw keeps its rules in files of its own.
_ALLOW = 'mark=$KEEP/ufw-${1%/*}; : > "$mark" && ufw allow "$1" >/dev/null'
_FORBID = """
mark=$KEEP/ufw-${1%/*}; [ -e "$mark" ] || exit 0
ufw delete allow "$1" >/dev/null && rm -f "$mark"
"""
_ALLOWED = """ufw status | sed -n "s|^$1  *ALLOW  *Anywhere *\\$|yes|p" """
# $1 port, $2 the type that the host's owner gave it, or "". One that the policy gives another type can only be
# modified; deleting gives it back to the policy.
_ADD_PORT = """
: > "$KEEP/selinux-$1" && { semanage port -a -t http_port_t -p tcp "$1" 2>/dev/null ||
  semanage port -m -t http_port_t -p tcp "$1"; }
"""
_DELETE_PORT = """
mark=$KEEP/selinux-$1; [ -e "$mark" ] || exit 0
if semanage port -lC | tr , ' ' | grep '^http_port_t ' | grep -qw "$1"; then
  if [ -n "$2" ]; then semanage port -m -t "$2" -p tcp "$1"; else semanage port -d -p tcp "$1"; fi || exit
fi
rm -f "$mark"
"""
_PORT_TYPE = """semanage port -lC | tr , ' ' | grep -w "$1" | sed 's/ .*//'"""
# $1 folder. Undo: what a folder of its parent's has by itself.
_LABEL = f'mkdir -p "$1" && chcon -R -t {_CONTENT} "$1"'
_UNLABEL = '[ ! -d "$1" ] || chcon -R --reference="${1%/*}" "$1"'
_LABELLED = 'stat -c %C "$1" | cut -d : -f 3'


def opening_changes(
    host: str,
    role: str,
    system: System,
    *,
    port: int,
    tls_port: int | None,
    work: str,
    interfaces: Sequence[str] = (),
) -> tuple[list[Change], list[NotApplied]]:
    """The service's ports let in by firewall and SELinux; what cannot be judged from here is named with what to do.

    `interfaces`: those that clients' packets come in by; without them, the firewall's default zone.
    """
    if role == "client":
        return [], []
    changes: list[Change] = []
    skipped: list[NotApplied] = []
    for number in [port, *([] if tls_port is None else [tls_port])]:
        text = f"{number}/tcp"
        if system.firewall == "firewalld":
            changes += [_firewalld(host, zone, text) for zone in _closed_zones(system, number, interfaces)]
        elif system.firewall == "ufw":
            changes += [] if {text, str(number)} & system.allowed else [_ufw(host, text)]
        elif system.firewall:
            why = f"this host filters packets by rules of its own: see that TCP port {number} is let in"
            skipped.append(NotApplied(host=host, key=f"{system.firewall} {text}", want="open", now=None, why=why))
        if system.selinux == "enforcing" and not _web_port(system, number):
            if "semanage" in system.programs:
                changes.append(_selinux_port(host, number, system.ports.get(str(number))))
            else:
                why = f"SELinux lets no web server listen on it: semanage port -a -t http_port_t -p tcp {number}"
                skipped.append(NotApplied(host=host, key=f"selinux {text}", want="http_port_t", now=None, why=why))
    return changes, skipped


def label_changes(host: str, folder: str, system: System, *, anew: bool) -> list[Change]:
    """Static files where SELinux lets a web server read them. `anew`: files were added to the folder."""
    if system.selinux != "enforcing" or (not anew and system.labels.get(folder) == _CONTENT):
        return []
    return [
        Change(
            host=host,
            what=f"label {folder}",
            before=system.labels.get(folder),
            want=_CONTENT,
            do=command("sh", "-c", _LABEL, "sh", folder),
            undo=command("sh", "-c", _UNLABEL, "sh", folder),
            check=command("sh", "-c", _LABELLED, "sh", folder),
            expect=_CONTENT,
            reason="under SELinux a web server reads no file without it",
        )
    ]


def _closed_zones(system: System, port: int, interfaces: Iterable[str]) -> list[str]:
    by_interface = {interface: name for name, zone in system.zones.items() for interface in zone.interfaces}
    zones = [by_interface.get(interface, system.default_zone) for interface in interfaces] or [system.default_zone]
    closed = []
    for name in dict.fromkeys(zones):
        zone = system.zones.get(name)
        if zone is None or not (_holds(zone.ports, port) or _SERVICES.get(port) in zone.services):
            closed.append(name)
    return closed


def _holds(ports: Iterable[str], number: int) -> bool:
    """Whether a TCP port is among those, written as firewalld and the policy do.

    >>> _holds(["80/udp", "8000-8100/tcp"], 8080), _holds(["80/udp"], 80)
    (True, False)
    """
    for text in ports:
        span, _, protocol = text.partition("/")
        first, _, last = span.partition("-")
        if protocol == "tcp" and int(first) <= number <= int(last or first):
            return True
    return False


def _web_port(system: System, number: int) -> bool:
    local = [kind for span, kind in system.ports.items() if _holds([f"{span}/tcp"], number)]
    return local[0] in _WEB_TYPES if local else number in _WEB_PORTS


def _firewalld(host: str, zone: str, port: str) -> Change:
    return Change(
        host=host,
        what=f"firewalld {port} in {zone}",
        before="closed",
        want="open",
        do=command("sh", "-c", _OPEN, "sh", zone, port),
        undo=command("sh", "-c", _CLOSE, "sh", zone, port),
        check=command("sh", "-c", 'firewall-cmd --zone="$1" --query-port="$2"', "sh", zone, port),
        expect="yes",
        reason="clients must reach the service; until the firewall is restarted",
        seconds=10,
    )


def _ufw(host: str, port: str) -> Change:
    return Change(
        host=host,
        what=f"ufw {port}",
        before="closed",
        want="open",
        do=command("sh", "-c", _ALLOW, "sh", port),
        undo=command("sh", "-c", _FORBID, "sh", port),
        check=command("sh", "-c", _ALLOWED, "sh", port),
        expect="yes",
        reason="clients must reach the service",
        lasting=True,
        seconds=10,
    )


def _selinux_port(host: str, port: int, before: str | None) -> Change:
    return Change(
        host=host,
        what=f"selinux {port}/tcp",
        before=before,
        want="http_port_t",
        do=command("sh", "-c", _ADD_PORT, "sh", str(port), before or ""),
        undo=command("sh", "-c", _DELETE_PORT, "sh", str(port), before or ""),
        check=command("sh", "-c", _PORT_TYPE, "sh", str(port)),
        expect="http_port_t",
        reason="SELinux lets no web server listen on another port",
        lasting=True,
        seconds=120,
    )
