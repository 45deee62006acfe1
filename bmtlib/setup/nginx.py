"""The web host: nginx and one static file per size, as in the seed study."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bmtlib.params.profile import Nginx
from bmtlib.setup.change import Change, command
from bmtlib.setup.file import file_changes
from bmtlib.setup.openings import label_changes
from bmtlib.setup.service import service, unit_service
from bmtlib.setup.system_script import PID_FILES
from bmtlib.setup.template import render
from bmtlib.setup.units import nginx_unit, stop_ours

if TYPE_CHECKING:
    from bmtlib.setup.system import System

CONFIG = "/etc/nginx/nginx.conf"

_LINE = b"bmtlib dummy file: the same bytes on every web host, so that a wrong answer shows at once.\n"


def document_root(work: str) -> str:
    """The folder of the static files. `work`: that of all of ours on the host."""
    return f"{work}/www"


def file_name(size: int) -> str:
    """Name of the static file of `size` bytes below the web root.

    >>> file_name(5120)
    'dummy_file_5120'
    """
    return f"dummy_file_{size}"


def file_sha256(size: int) -> str:
    """What the file's content must hash to: `_LINE` again and again, cut at `size` bytes."""
    return hashlib.sha256((_LINE * (size // len(_LINE) + 1))[:size]).hexdigest()


def _static_file(host: str, root: str, size: int) -> Change:
    path = f"{root}/{file_name(size)}"
    line = _LINE.decode().rstrip("\n")
    return Change(
        host=host,
        what=f"file {path}",
        before=None,
        want=f"{size} bytes",
        do=command("sh", "-c", 'mkdir -p "${1%/*}" && yes "$3" | head -c "$2" > "$1"', "sh", path, str(size), line),
        undo=command("rm", "-f", path),
        check=command("sh", "-c", 'sha256sum < "$1"', "sh", path),
        expect=f"{file_sha256(size)} -",
        reason="what the load asks for",
    )


# $1 ... log files. nginx makes those that are not there; they go when the test does.
_KEEP_LOGS = 'for log in "$@"; do [ -e "$log" ] || : > "$KEEP/none-${log##*/}" || exit; done'
_DROP_LOGS = """
for log in "$@"; do
  [ ! -e "$KEEP/none-${log##*/}" ] || rm -f "$log" "$KEEP/none-${log##*/}" || exit
done
"""


def _logs(host: str) -> Change:
    logs = ("/var/log/nginx-error.log", "/var/log/nginx-access.log")
    return Change(
        host=host,
        what="file /var/log/nginx-*.log",
        before=None,
        want="for the time of the test",
        do=command("sh", "-c", _KEEP_LOGS, "sh", *logs),
        undo=command("sh", "-c", _DROP_LOGS, "sh", *logs),
        reason="the web server's logs",
        lasting=True,
    )


def package_user(system: System) -> str:
    """Whom nginx's workers run as: the account that the distribution's package brings; root, where that is missing."""
    user = {"dnf": "nginx", "apt": "www-data"}[system.manager]
    return "root" if "nginx" in system.programs and user not in system.users else user


def nginx_changes(
    host: str,
    wish: Nginx,
    *,
    file_sizes: Iterable[int],
    port: int,
    nofile: int,
    work: str,
    user: str,
    cpus: Iterable[int],
    config_before: str | None,
    system: System | None = None,
) -> list[Change]:
    """Files, nginx.conf and a running nginx on one web host; nothing of what is as wished already.

    `nofile` is the host's hard limit of open files: nginx is never given more. `config_before` is the present
    /etc/nginx/nginx.conf, None when there is none. `system`: a host of the user's own; its nginx is a unit where
    systemd runs, has the packages' user, and may be given more open files than a session.
    """
    root = document_root(work)
    cpus = frozenset(cpus)
    if system is not None:
        nofile, user = system.service_nofile, package_user(system)
    nofile = min(nofile, wish.worker_rlimit_nofile)
    text = render(
        "nginx.conf",
        host=host,
        nginx=wish,
        nofile=nofile,
        worker_connections=min(nofile, wish.worker_connections),
        port=port,
        root=root,
        work=work,
        user=user,
    )
    sums = {} if system is None else system.sums
    missing = [size for size in sorted(set(file_sizes)) if sums.get(file_name(size)) != file_sha256(size)]
    files = [_static_file(host, root, size) for size in missing]
    config = file_changes(host, CONFIG, text, before=config_before, reason="the web host's configuration")
    pid_file, reason = PID_FILES["nginx"], "the web server"
    by_hand = service(host, ["nginx"], cpus=cpus, pid_file=pid_file, work=work, reason=reason)
    if system is None:
        return [*files, *config, by_hand]
    files += label_changes(host, root, system, anew=bool(files))
    running = system.running.get("nginx")
    now = running.cpus if running is not None and not config else ""
    if system.systemd:
        unit = nginx_unit(host, nofile=nofile, cpus=cpus)
        present = system.files.get(unit.path)
        start = unit_service(host, unit, cpus=cpus, pid_file=pid_file, reason=reason, running=now, present=present)
    else:
        start = [] if now == by_hand.expect else [by_hand]
    if not start:
        return files
    return [*files, *stop_ours(host, system, "nginx"), _logs(host), *config, *start]
