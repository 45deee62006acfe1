"""A testbed brought up for one plan: facts read, hosts tuned, nginx and VIP in place. Cases are run on it."""

from __future__ import annotations

from dataclasses import asdict
from types import TracebackType
from typing import Any

from bmtlib.errors import BmtError
from bmtlib.hosts.facts import Facts, gather
from bmtlib.hosts.hardware import gather_hardware
from bmtlib.hosts.host import WORK, Host, each
from bmtlib.measure.arms import check_web_kernels, engine_of
from bmtlib.measure.preflight import PROOF_BYTES
from bmtlib.measure.probes import select
from bmtlib.measure.scripts import probe_script
from bmtlib.measure.tuning import proxy_cpus, tuning_changes
from bmtlib.params.load_yaml import load_profile_set
from bmtlib.params.profile import ROLES, Nginx, Profile
from bmtlib.plan import Plan
from bmtlib.rundir import RunDir
from bmtlib.setup.change import Change, change_row
from bmtlib.setup.hardware_facts import HardwareFacts
from bmtlib.setup.nginx import nginx_changes
from bmtlib.setup.sysctl import NotApplied
from bmtlib.setup.vip import director_vip, web_vip
from bmtlib.testbeds.bed import Bed
from bmtlib.testbeds.bring_up import bring_up
from bmtlib.testbeds.placement import Placement

_ONCE_S = 120  # some hundred processes, each of which takes an emulated CPU 50 ms


class Session:
    """Hosts ready for cases. A context manager; leaving it takes the testbed down.

    `changes` and `not_applied` are by host: what was done to it, and which wishes of the tuning profile it cannot have.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        placement: Placement,
        rootless: bool,
        vcpus: int | None,
        run_id: str,
        prepare: bool = True,
    ) -> None:
        """With `prepare` False the hosts are there and nothing was done to them: `changes` is what would be.

        `vcpus` is of a virtual director, None without one.
        """
        self.plan, self.placement, self.rootless, self.vcpus, self.run_id = plan, placement, rootless, vcpus, run_id
        self.prepare = prepare
        self.profiles: dict[str, Profile | None] = {
            role: load_profile_set(plan.scenario.tuning, role) for role in ROLES
        }
        self.changes: dict[str, list[Change]] = {}
        self.not_applied: dict[str, list[NotApplied]] = {}
        self.facts: dict[str, Facts] = {}
        self._hardware: HardwareFacts | None = None
        self.lab = self._open()

    def _open(self) -> Bed:
        scenario = self.plan.scenario
        lab = bring_up(
            self.plan.testbed,
            webs=scenario.webs,
            clients=scenario.clients,
            placement=self.placement,
            rootless=self.rootless,
            vcpus=self.vcpus,
        )
        try:
            for host in lab.hosts.values():
                host.run_id = self.run_id
            self.facts = each(lab.hosts.values(), lambda host: gather(host, self._sysctl_keys(host.role)))
            prepared = each(lab.hosts.values(), self._wishes)
            self.changes = {name: changes for name, (changes, _) in prepared.items()}
            self.not_applied = {name: skipped for name, (_, skipped) in prepared.items()}
            check_web_kernels(scenario.arms.values(), lab.role("web"))
            if self.prepare:
                refused = each(lab.hosts.values(), lambda host: host.apply(self.changes[host.name]))
                for name, more in refused.items():
                    self.not_applied[name] += more
                    gone = {item.key for item in more}
                    self.changes[name] = [change for change in self.changes[name] if change.what not in gone]
        except BaseException:
            lab.close()
            raise
        return lab

    def hardware(self) -> HardwareFacts:
        """The director's cards and CPUs after its preparation. Every case undoes what it did, so this is read once."""
        if self._hardware is None:
            self._hardware = gather_hardware(self.lab.director)
        return self._hardware

    def reopen(self) -> None:
        """Take the testbed down and bring it up anew: after a host or a service of it has died."""
        self.lab.close()
        self._hardware = None
        self.lab = self._open()

    def _sysctl_keys(self, role: str) -> list[str]:
        profile = self.profiles[role]
        return list(profile.sysctl) if profile else []

    def _wishes(self, host: Host) -> tuple[list[Change], list[NotApplied]]:
        """All changes that prepare one host: tuning first, then the VIP, then services."""
        facts, profile, network = self.facts[host.name], self.profiles[host.role], self.plan.testbed.network
        changes, skipped = tuning_changes(host, profile, facts.settings, proxy=proxy_cpus(None, host.cpus))
        if host.role == "director":
            changes += director_vip(host.name, str(network.vip), host.interfaces["front"], facts.sysctls())
        if host.role == "web":
            changes += web_vip(host.name, str(network.vip), facts.sysctls())
            changes += nginx_changes(
                host.name,
                (profile.nginx if profile else None) or Nginx(),
                file_sizes=[PROOF_BYTES, *(int(case.load.file_size) for case in self.plan.cases)],
                port=network.port,
                nofile=facts.nofile,
                work=WORK,
                user="root",
                cpus=host.cpus,
                config_before=facts.nginx_conf,
            )
        return changes, skipped

    def engines(self) -> dict[str, str]:
        """Engine by arm name, as this director can drive it."""
        director = self.facts[self.lab.director.name]
        return {name: engine_of(arm, director) for name, arm in self.plan.scenario.arms.items()}

    def describe(self) -> list[dict[str, Any]]:
        """The hosts for run.json."""
        return [
            {
                "name": host.name,
                "role": host.role,
                "machine": host.machine,
                "addresses": host.addresses,
                "interfaces": host.interfaces,
                "kernel": self.facts[host.name].kernel,
                "cpus": sorted(host.cpus),
            }
            for host in self.lab.hosts.values()
        ]

    def record(self, folder: RunDir) -> None:
        """Write facts/ and changes/ of every host, and the probes that are taken once."""

        def once(host: Host) -> None:
            probes = select(
                ["once"],
                role=host.role,
                interfaces=host.interfaces.values(),
                engine=set(self.engines().values()),
                names=self.plan.scenario.probes,
                shared_machine=not self.lab.speaks_for_machine(host),
            )
            place = f"{WORK}/facts"
            host.run(["sh", "-c", probe_script(place, probes, "once")], timeout_s=_ONCE_S)
            for name, content in host.collect(place).items():
                folder.write(f"facts/{host.name}/{name}", content)

        each(self.lab.hosts.values(), once)
        for name, facts in self.facts.items():
            folder.write_json(f"facts/{name}.json", asdict(facts))
            folder.write_json(
                f"changes/{name}.json",
                {
                    "applied": [change_row(change) for change in self.changes[name]],
                    "not_applied": [asdict(item) for item in self.not_applied[name]],
                },
            )

    def sound(self) -> bool:
        """Whether every host can still be entered and no web host's nginx has gone."""

        def check(host: Host) -> bool:
            test = "kill -0 $(cat /run/nginx.pid)" if host.role == "web" else "true"
            try:
                return host.run(["sh", "-c", test], check=False).rc == 0
            except (BmtError, TimeoutError, OSError):
                return False

        return all(each(self.lab.hosts.values(), check).values())

    def close(self) -> None:
        self.lab.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
