"""What a fleet over SSH costs: reach, plan, apply, rollback, start skew; beside plain `ssh` and Ansible on its hosts.

    sudo .venv/bin/python benchmarks/fleet.py            # 60 and 30 hosts: a lab whose hosts run sshd, two minutes
    sudo .venv/bin/python benchmarks/fleet.py --hosts 10

The hosts are namespaces of this machine, so all of them and the controller share its CPUs: a fleet of real machines has
its own. Compare within one run.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/lab"))

from ssh_lab import SshLab, ssh_lab

from bmtlib.fleet import apply, rollback_all
from bmtlib.hosts.host import Host
from bmtlib.measure.barrier import run_together, start_instant_ns
from bmtlib.measure.preview import preview
from bmtlib.measure.ready import check
from bmtlib.measure.scripts import load_script
from bmtlib.params.load_yaml import load_profile
from bmtlib.run import Loaded, load
from bmtlib.testbeds.bed import Bed
from bmtlib.testbeds.ssh import open_fleet

WEBS = 5
ROUNDS = 7
PLAYBOOK = """\
- hosts: all
  gather_facts: false
  vars: {ansible_python_interpreter: /usr/bin/python3}
  tasks:
    - ansible.builtin.copy: {src: SOURCE, dest: /etc/sysctl.d/90-other.conf, mode: "0644"}
    - ansible.builtin.command: sysctl -e -p /etc/sysctl.d/90-other.conf
      failed_when: false
"""


def told(name: str, work: Callable[[], object]) -> float:
    """Do it, and print how long it took, in seconds."""
    began = time.monotonic()
    work()
    seconds = time.monotonic() - began
    print(f"  {name}: {seconds:.2f} s", flush=True)
    return seconds


@contextmanager
def lab_of(hosts: int) -> Iterator[SshLab]:
    """A director, five web hosts, the rest clients."""
    with tempfile.TemporaryDirectory() as folder, ssh_lab(Path(folder), webs=WEBS, clients=hosts - WEBS - 1) as lab:
        os.environ.update(lab.env)
        print(f"{hosts} hosts: 1 director, {WEBS} web hosts, {hosts - WEBS - 1} clients")
        yield lab


def loaded_for(lab: SshLab, *settings: str) -> Loaded:
    clients = len(lab.lab.role("client"))
    return load("quick", str(lab.testbed), [f"webs={WEBS}", f"clients={clients}", *settings])


def plan_times(lab: SshLab) -> None:
    loaded = loaded_for(lab)

    def reach() -> None:
        check(loaded.plan).close()

    def plan() -> None:
        preview(loaded.plan, check(loaded.plan))

    told("reach all, ask what they are", reach)
    told("plan, from the first connection to the table's rows (goal 5 s)", plan)
    words = ["plan", "quick", "--testbed", str(lab.testbed), "--set", f"webs={WEBS}"]
    words += ["--set", f"clients={len(lab.lab.role('client'))}", "--json"]
    command = [sys.executable, "-P", "-m", "bmtlib", *words]
    told("the whole command `bmt plan`", lambda: subprocess.run(command, check=True, capture_output=True))


def apply_times(lab: SshLab) -> None:
    loaded = loaded_for(lab, "tuning=seed")
    told("apply the seed's profile, with VIP and nginx (goal 10 s)", lambda: _apply(loaded))
    told("apply again, which does nothing", lambda: _apply(loaded))
    testbed = loaded.plan.testbed
    told("roll back", lambda: rollback_all(testbed, None, take_over="", tell=lambda _: None))


def _apply(loaded: Loaded) -> None:
    done = apply(loaded, arm=None, take_over="", tell=lambda _: None)
    print(f"    {sum(map(len, done.changes.values()))} changes", end="")


def skew(bed: Bed, way: str) -> None:
    """How far apart clients start when they are told to start at one instant, by the controller's clock."""
    clients: dict[str, Host] = {host.name: host for host in bed.role("client")}
    found = []
    for _ in range(ROUNDS):
        bed.clocks()
        start_ns = start_instant_ns(len(clients))
        scripts = {
            name: load_script("/run/bmt-skew", ["true"], host.on_its_clock(start_ns)) for name, host in clients.items()
        }
        run_together(clients, scripts, timeout_s=30)
        starts = [
            int(host.collect("/run/bmt-skew", remove=True)["ab.start"]) - round(host.clock_offset_s * 1e9)
            for host in clients.values()
        ]
        found.append((max(starts) - min(starts)) / 1e6)
    middle = statistics.median(found)
    print(
        f"  start skew of {len(clients)} clients {way}: median {middle:.1f} ms, {min(found):.1f} to {max(found):.1f} "
        f"in {ROUNDS} rounds"
    )


def others(lab: SshLab) -> None:
    """The same sysctl file by a loop of `ssh` and by Ansible."""
    profile = load_profile("seed-web")
    text = "".join(
        f"{key} = {setting.value}\n" for key, setting in profile.sysctl.items() if key.startswith("net.ipv4")
    )
    source = lab.folder / "90-other.conf"
    source.write_text(text)
    names = list(lab.lab.hosts)

    def loop() -> None:
        script = "cat > /etc/sysctl.d/90-other.conf && sysctl -e -p /etc/sysctl.d/90-other.conf"
        for name in names:
            words = ["ssh", "-F", str(lab.config), name, script]
            subprocess.run(words, input=text, text=True, capture_output=True, check=False)

    told(f"beside it: a loop of `ssh` over {len(names)} hosts, one sysctl file each", loop)
    inventory, play = lab.folder / "hosts.ini", lab.folder / "play.yml"
    inventory.write_text("[all]\n" + "\n".join(names) + "\n")
    play.write_text(PLAYBOOK.replace("SOURCE", str(source)))
    words = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory), "-f", "30", str(play)]
    env = {**os.environ, "ANSIBLE_SSH_ARGS": f"-F {lab.config}", "ANSIBLE_NOCOWS": "1"}

    def ansible() -> None:
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(done.stdout[-600:], done.stderr[-600:])

    told("beside it: Ansible, the same file and `sysctl -p`, 30 forks", ansible)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=60, help="hosts to plan for; apply takes half of them (60)")
    hosts = max(8, parser.parse_args().hosts)
    print(f"{len(os.sched_getaffinity(0))} CPUs, kernel {platform.release()}, load {os.getloadavg()[0]:.1f}")
    with lab_of(hosts) as lab:
        plan_times(lab)
    with lab_of(max(8, hosts // 2)) as lab:
        apply_times(lab)
        others(lab)
    with lab_of(WEBS + 1 + max(2, hosts // 2)) as lab:
        loaded = loaded_for(lab)
        clients = len(lab.lab.role("client"))
        with open_fleet(loaded.plan.testbed, webs=WEBS, clients=clients, secret=lambda hosts: "") as fleet:
            skew(fleet, "over SSH, clocks corrected (goal below 5 ms)")
            sure = max(it.uncertainty_s for it in fleet.offsets.values()) * 1e3
            off = max(abs(it.offset_s) for it in fleet.offsets.values()) * 1e3
            print(
                f"  of which the clocks: one clock was measured {off:.1f} ms off at the most, to within {sure:.1f} ms"
            )
        skew(lab.lab, "without SSH: they share CPUs, and wake one after the other")


if __name__ == "__main__":
    main()
