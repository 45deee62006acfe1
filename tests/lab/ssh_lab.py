"""A lab whose hosts run a real sshd: machines for the tests of testbeds of kind ssh.

Every host has an sshd with a key of its own, and its own /etc, /run, /tmp, /var/log (as any lab host), /var/lib, /root,
/opt and /usr/local. The way to it is a ProxyCommand that enters its namespaces and becomes `sshd -i`: real SSH from end
to end, and still no network that leads into the lab. Root only: sshd separates its privileges.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import yaml

from bmtlib.cpus import to_list
from bmtlib.hosts.connect import VARIABLE
from bmtlib.hosts.host import Host, each
from bmtlib.hosts.netns import NetnsHost, nsenter
from bmtlib.params.testbed import Network
from bmtlib.testbeds.netns import Lab
from bmtlib.testbeds.placement import Placement, place
from bmtlib.testbeds.way_in import new_key, public_key

# $1 public key that may log in. Prints the host's own public key.
_MAKE_MACHINE = """\
set -e
mkdir -p /tmp/own && mount -t tmpfs bmt-own /tmp/own
own() {
  mkdir -p "/tmp/own$1/up" "/tmp/own$1/work"
  mount -t overlay bmt-own -o "lowerdir=$1,upperdir=/tmp/own$1/up,workdir=/tmp/own$1/work" "$1"
}
own /var/lib; own /opt; own /usr/local
mount -t tmpfs -o mode=700 bmt-root /root
mkdir -p /root/.ssh /run/sshd /home/bench/.ssh 2>/dev/null || true
mount -t tmpfs -o mode=755 bmt-home /home && mkdir -p /home/bench/.ssh
echo "$1" > /root/.ssh/authorized_keys; cp /root/.ssh/authorized_keys /home/bench/.ssh/
chmod 700 /root/.ssh; chmod 600 /root/.ssh/authorized_keys
grep -q '^bench:' /etc/passwd || {
  echo 'bench:x:4242:4242:bench:/home/bench:/bin/sh' >> /etc/passwd; echo 'bench:x:4242:' >> /etc/group
  echo "bench:$(openssl passwd -6 'open sesame'):19000:0:99999:7:::" >> /etc/shadow
}
chown -R 4242:4242 /home/bench; chmod 700 /home/bench/.ssh
umount -l /tmp/own
rmdir /run/bmt; rm -f /etc/ssh/ssh_host_*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
cat > /etc/ssh/sshd_config <<'END'
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
UseDNS no
MaxSessions 100
PidFile none
END
cat /etc/ssh/ssh_host_ed25519_key.pub
"""

# What a host is like: all that bmtlib may change, and nothing that changes by itself.
_DUMP = r"""
echo "## addresses"; ip -4 -o address | sed 's/ tentative//; s/valid_lft.*//'
ip -4 route show table all | sort; ip rule
ip -o link | sed 's/ *qlen/ qlen/'
echo "## sockets"; ss -Hltn | awk '{print $4}' | sort
echo "## programs"; cat /proc/[0-9]*/comm 2>/dev/null | grep -vxE 'sshd|sleep|sh|cat|grep|sort' | sort
echo "## sysctl"; sysctl -a 2>/dev/null | grep -E '^(net|vm|kernel\.numa|fs\.file-max)' |
  grep -vE 'nf_conntrack_count|random|stable_secret|nr_|dirty_|drop_caches|compact|stat_refresh|fastopen_key'
echo "## files"
find /etc /var/lib/bmt /run /home /root -xdev -printf '%p %m %u:%g %l\n' 2>/dev/null | grep -v '^/run/sshd' | sort
find /opt /usr/local -xdev -maxdepth 3 -printf '%p %m %u:%g %l\n' | sort
find /etc -xdev -type f -exec sha256sum {} + | sort -k 2
echo "## nft"; nft list ruleset 2>/dev/null | sed 's/packets [0-9]* bytes [0-9]*//'
echo "## ipvs"; ipvsadm -Sn 2>/dev/null
for place in /sys/class/net/*; do
  name=${place##*/}; echo "## $name"
  for what in k g l c; do ethtool -$what "$name" 2>/dev/null; done
  cat "$place"/queues/*/rps_cpus "$place"/queues/*/rps_flow_cnt 2>/dev/null
done
true
"""


def dump(host: Host) -> str:
    """The state of a host: equal texts mean that it was left as it was found."""
    return host.run(["sh", "-c", _DUMP], timeout_s=60).stdout


@dataclass(kw_only=True)
class SshLab:
    """`lab`: the hosts by the back door, without SSH. `testbed`, `config`: files for bmtlib; `env`: to be exported."""

    lab: Lab
    folder: Path
    testbed: Path
    config: Path

    @property
    def env(self) -> dict[str, str]:
        return {VARIABLE: str(self.config)}

    def dumps(self) -> dict[str, str]:
        return each(self.lab.hosts.values(), dump)

    def cut(self, name: str) -> None:
        """Nobody reaches the host any more: connections break, and new ones are not answered."""
        (self.folder / f"cut-{name}").touch()
        self.lab.hosts[name].run(["sh", "-c", "pkill -KILL -x sshd; true"])

    def restore(self, name: str) -> None:
        (self.folder / f"cut-{name}").unlink(missing_ok=True)


@contextmanager
def ssh_lab(
    folder: Path, *, webs: int, clients: int, placement: Placement | None = None, user: str = "root"
) -> Iterator[SshLab]:
    """A lab of machines, `user` at their doors. Files lie in `folder`."""
    login = new_key()
    key = folder / "id"
    key.write_text(login)
    key.chmod(0o600)
    placement = placement or place("auto")
    with Lab(Network(), webs=webs, clients=clients, placement=placement, rootless=False) as lab:
        words = ["sh", "-c", _MAKE_MACHINE, "sh", public_key(login).strip()]
        keys = each(lab.hosts.values(), lambda host: host.run(words, timeout_s=60).stdout.strip())
        (folder / "known_hosts").write_text("".join(f"{name} {key}\n" for name, key in keys.items()))
        config = folder / "ssh_config"
        config.write_text("".join(_entry(folder, cast(NetnsHost, host), user) for host in lab.hosts.values()))
        testbed = folder / "fleet.yml"
        testbed.write_text(yaml.safe_dump(_testbed(lab, placement)))
        yield SshLab(lab=lab, folder=folder, testbed=testbed, config=config)


def _entry(folder: Path, host: NetnsHost, user: str) -> str:
    enter = shlex.join(
        [*nsenter(host.pid, rootless=False, uts=True), "/usr/sbin/sshd", "-i", "-f", "/etc/ssh/sshd_config"]
    )
    way, cut = folder / f"way-{host.name}", shlex.quote(f"{folder}/cut-{host.name}")
    # Its environment is that of a service, not of the test.
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    way.write_text(f"#!/bin/sh\n[ ! -e {cut} ] || exit 1\nexec env -i PATH={path} {enter}\n")
    way.chmod(0o755)
    return f"""\
Host {host.name}
  User {user}
  ProxyCommand {way}
  IdentityFile {folder}/id
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking yes
"""


def _testbed(lab: Lab, placement: Placement) -> dict[str, object]:
    others = to_list(placement.others)
    return {
        "kind": "ssh",
        "ssh": {
            "director": {"hosts": ["director"], "front": "eth0", "back": "eth1", "cpus": to_list(placement.director)},
            "web": {"hosts": [host.name for host in lab.role("web")], "cpus": others},
            "client": {"hosts": [host.name for host in lab.role("client")], "cpus": others},
        },
    }


def bmt(lab: SshLab, *words: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    """`bmt` as a user would call it, on the lab's machines."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "bmtlib", *words],
        env={**os.environ, **lab.env, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
