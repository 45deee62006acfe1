"""Whether this machine allows a lab of namespaces: each part of one, tried in a sandbox that is gone afterwards."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bmtlib.hosts.netns import environment

_DEADLINE_S = 5

# For each part: its name, a tab, and what the kernel said if it refused.
_TRIAL = r"""
try() { part=$1; shift; said=$("$@" 2>&1) && said= || said=${said:-refused}; printf '%s\t%s\n' "$part" "$(echo $said)"; }
overlay() {
  mount -t tmpfs bmt /tmp && mkdir /tmp/low /tmp/up /tmp/work /tmp/all || return 1
  layers=lowerdir=/tmp/low,upperdir=/tmp/up,workdir=/tmp/work
  mount -t overlay bmt -o $layers,userxattr /tmp/all || mount -t overlay bmt -o $layers /tmp/all
}
l2dsr() {
  nft -f - <<'END'
table netdev bmt {
  chain l2dsr {
    type filter hook ingress device "bmt0" priority 0; policy accept;
    ip daddr 192.0.2.1 tcp dport 80 ether saddr set 02:00:00:00:00:01 ether daddr set jhash ip saddr . tcp sport mod 1 map { 0 : 02:00:00:00:00:02 } fwd to "bmt1"
  }
}
END
}
rps() { echo 1 > /proc/sys/net/core/rps_default_mask || echo 1 > /sys/class/net/bmt0/queues/rx-0/rps_cpus; }
printf 'namespaces\t\n'
try overlay overlay
try sysfs mount -t sysfs bmt /sys
try veth ip link add bmt0 type veth peer name bmt1
try bridge ip link add bmt2 type bridge
try nft l2dsr
try rps rps
"""  # noqa: E501

_MODULES = {"overlay": "overlay", "veth": "veth", "bridge": "bridge", "nft": "nf_tables nft_hash nft_fwd_netdev"}

# Settings that forbid user namespaces: path under /proc/sys, the value that forbids, what to type.
_SWITCHES = (
    ("kernel/unprivileged_userns_clone", "0", "sudo sysctl kernel.unprivileged_userns_clone=1"),
    ("user/max_user_namespaces", "0", "sudo sysctl user.max_user_namespaces=10000"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"),
)


def try_lab(*, rootless: bool) -> dict[str, str]:
    """Part -> what the kernel said when it refused, "" where it works. Takes 0.1 s. Needs unshare, ip and nft.

    All parts but "rps" are needed; without that one the director's CPU cost cannot be told apart.
    """
    user = ["--user", "--map-root-user"] if rootless else []
    flags = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    try:
        done = subprocess.run(
            ["unshare", *user, *flags, "sh", "-s"],
            input=_TRIAL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_DEADLINE_S,
            check=False,
            env=environment(),
            cwd="/",
        )
    except subprocess.TimeoutExpired:
        return {"namespaces": f"no answer after {_DEADLINE_S} s"}
    parts = dict(line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line)
    return parts if "namespaces" in parts else {"namespaces": " ".join(done.stdout.split()) or "refused"}


def refusals(parts: dict[str, str]) -> dict[str, str]:
    """The parts of `try_lab` that a lab needs and does not get.

    >>> refusals({"namespaces": "", "veth": "Operation not supported", "rps": "Permission denied"})
    {'veth': 'Operation not supported'}
    """
    return {part: said for part, said in parts.items() if said and part != "rps"}


def advice(refused: dict[str, str], *, rootless: bool, sysctls: Path = Path("/proc/sys")) -> str:
    """What to do about `refusals`: settings that forbid user namespaces first, then missing kernel modules."""
    if rootless:
        for name, forbids, command in _SWITCHES:
            path = sysctls / name
            if path.exists() and path.read_text().strip() == forbids:
                return f"{command}   (or run as root)"
    modules = [_MODULES[part] for part in refused if part in _MODULES]
    if modules and "namespaces" not in refused:
        return f"sudo modprobe -a {' '.join(modules)}   (in a container: on its host)"
    return "run as root, on the machine itself and not in a chroot; in a container: start it with --privileged"
