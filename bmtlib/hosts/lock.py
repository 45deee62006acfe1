"""One controller at a time: a lock on the host, held by a process there that ends with the controller's connection."""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
import uuid
from dataclasses import asdict, dataclass, replace

from bmtlib.errors import HostError, MachineError
from bmtlib.hosts.host import WORK, Background, Host

# $1 folder. Who holds the lock, or nothing where it is free.
_ASK = """\
cd "$1" 2>/dev/null || exit 0
if [ -e lock ] && ! flock -n lock true; then cat owner; fi
"""
# $1 folder, $2 who. The kernel frees the lock when this shell ends; it ends when its standard input does, so with the
# connection. A lock file that was removed in between is another one's: then there is nothing to hold.
_HOLD = """\
mkdir -p "$1" && cd "$1" || exit 90
exec 9>>lock && flock -n 9 && [ /proc/self/fd/9 -ef lock ] || exit 75
read -r pid _ < /proc/self/stat
printf '%s\\n%s\\n' "$2" "$pid" > owner.new && mv owner.new owner || exit 90
cat >/dev/null 9>&-
"""
# $1 folder, $2 token. Waits until it is there: 10 s at the most.
_WAIT = """\
i=0; until grep -qsF "$2" "$1/owner"; do [ $i -lt 200 ] || exit 75; sleep 0.05; i=$((i+1)); done
"""
# $1 folder, $2 token of the holder to end.
_BREAK = """\
cd "$1" 2>/dev/null || exit 0
grep -qsF "$2" owner || exit 0
pid=$(sed -n 2p owner); case $pid in ''|*[!0-9]*) exit 0;; esac
! flock -n lock true || exit 0
kill -KILL "$pid"; flock -w 5 lock true
"""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who holds a lock. `since` in UTC; `token` is of one holding of one lock alone."""

    run: str
    who: str
    since: str
    token: str = ""


def owner_now(run_id: str) -> Owner:
    """This process as an owner."""
    who = f"{getpass.getuser()}@{socket.gethostname()} (process {os.getpid()})"
    return Owner(run=run_id, who=who, since=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


def _guard(token: str) -> str:
    return f"grep -qsF {token} {WORK}/owner || {{ echo 'this host is not held any more' >&2; exit 95; }}"


@dataclass(kw_only=True)
class Lock:
    """A lock that is held. Until its release, scripts of changes on the host work under it alone."""

    host: Host
    owner: Owner
    holder: Background

    def release(self) -> None:
        """Free it. A host that is gone has freed it already, or will when it notices."""
        self.host.guard = ""
        self.holder.kill()


def holder_of(host: Host) -> Owner | None:
    """Who holds the host's lock, None when it is free."""
    text = host.run(["sh", "-c", _ASK, "sh", WORK]).stdout
    if not text.strip():
        return None
    try:
        return Owner(**json.loads(text.splitlines()[0]))
    except (ValueError, TypeError):
        return Owner(run="unknown", who="unknown", since="unknown", token="")


def acquire(host: Host, owner: Owner, *, take_over: str = "") -> Lock:
    """Lock the host for `owner`. `take_over`: token of a holder that may be ended, "any" for whoever it is.

    Raises MachineError that names who holds it.
    """
    owner = replace(owner, token=uuid.uuid4().hex)
    found = holder_of(host)
    if found is not None and found.token and take_over in ("any", found.token):
        host.run(["sh", "-c", _BREAK, "sh", WORK, found.token])
        found = holder_of(host)
    if found is None:
        words = ["sh", "-c", _HOLD, "sh", WORK, json.dumps(asdict(owner))]
        holder = host.start(words, stdin=None)
        try:
            host.run(["sh", "-c", _WAIT, "sh", WORK, owner.token], timeout_s=20)
        except HostError:
            holder.kill()
            found = holder_of(host)
            if found is None:
                raise
        else:
            host.guard = _guard(owner.token)
            return Lock(host=host, owner=owner, holder=holder)
    raise MachineError(
        f"{host.name} is locked by {found.who} since {found.since}, for run {found.run}",
        where=f"{WORK}/lock on {host.name}",
        todo="wait for its end; or, when that controller is gone for good: --break-lock",
    )
