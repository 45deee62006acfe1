"""The web host: nginx and one static file per size, as in the seed study."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from bmtlib.params.profile import Nginx
from bmtlib.setup.change import Change, command, file_change
from bmtlib.setup.service import service
from bmtlib.setup.template import render

_LINE = b"bmtlib dummy file: the same bytes on every web host, so that a wrong answer shows at once.\n"


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
) -> list[Change]:
    """Files, nginx.conf and a running nginx on one web host.

    `nofile` is the host's hard limit of open files: nginx is never given more. `config_before` is the present
    /etc/nginx/nginx.conf, None when there is none.
    """
    root = f"{work}/www"
    text = render(
        "nginx.conf",
        host=host,
        nginx=wish,
        nofile=min(nofile, wish.worker_rlimit_nofile),
        worker_connections=min(nofile, wish.worker_connections),
        port=port,
        root=root,
        work=work,
        user=user,
    )
    return [
        *(_static_file(host, root, size) for size in sorted(set(file_sizes))),
        file_change(host, "/etc/nginx/nginx.conf", text, before=config_before, reason="the web host's configuration"),
        service(host, ["nginx"], cpus=cpus, pid_file="/run/nginx.pid", work=work, reason="the web server"),
    ]
