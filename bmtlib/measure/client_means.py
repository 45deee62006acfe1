"""What a client host has for a load: one script that asks, and the reading of its answer."""

from __future__ import annotations

import re

from bmtlib.errors import MachineError
from bmtlib.measure.capacity import ClientMeans
from bmtlib.setup.change import Command, command

_UNLIMITED_FILES = 1_048_576  # fs.nr_open's default: what "unlimited" comes to

# ab names its largest -c when it is asked for too many, and sends nothing. The ports are read by cat: dash's own `read`
# takes single bytes, and the file answers only the first.
_SCRIPT = """\
export LC_ALL=C
if command -v ab > /dev/null; then
  said=$(ab -n 99999999 -c 99999999 http://127.0.0.1/ 2>&1 | head -n 1)
  echo "ab $said"
else
  echo "ab-missing"
fi
echo "nofile $(ulimit -Hn)"
echo "ports" $(cat /proc/sys/net/ipv4/ip_local_port_range)
echo "cpus $(nproc)"
"""
PROBE: Command = command("sh", "-s", stdin=_SCRIPT)

_ANSWER = re.compile(
    r"(?:ab (?P<ab>.*)|ab-missing)\n"
    r"nofile (?P<nofile>\d{1,18}|unlimited)\n"
    r"ports (?P<first>\d{1,5}) (?P<last>\d{1,5})\n"
    r"cpus (?P<cpus>\d{1,5})\n?",
    re.ASCII,
)
_LARGEST = re.compile(r"Invalid Concurrency \[Range \d+\.\.(\d{1,9})\]", re.ASCII)


def parse(host: str, text: str, tuning_ports: int | None) -> ClientMeans:
    """What PROBE printed on `host`. `tuning_ports`: local ports that the tuning will give it, None: as they are.

    MachineError: ab is missing there, does not tell its limit, or the answer is no such one.
    """
    answer = _ANSWER.fullmatch(text)
    if answer is None:
        raise MachineError(
            f"{host} did not say what it has for a load",
            where=f"{host} said: {text[-200:]!r}",
            todo=f"log in to {host}: sh, ulimit, nproc and /proc must work there",
        )
    if answer["ab"] is None:
        todo = "there: dnf install httpd-tools (Rocky, Alma, RHEL), or apt-get install apache2-utils (Debian, Ubuntu)"
        raise MachineError(f"ab is missing on {host}", todo=todo)
    largest = _LARGEST.search(answer["ab"])
    if largest is None:
        raise MachineError(
            f"ab on {host} does not tell its largest concurrency",
            where=f"{host} said: {answer['ab'][:200]!r}",
            todo=f"on {host}: `ab -V` must name Apache Bench",
        )
    return ClientMeans(
        host=host,
        ab_concurrency=int(largest[1]),
        nofile=_UNLIMITED_FILES if answer["nofile"] == "unlimited" else int(answer["nofile"]),
        ports=int(answer["last"]) - int(answer["first"]) + 1 if tuning_ports is None else tuning_ports,
        cpus=int(answer["cpus"]),
    )
