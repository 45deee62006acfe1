"""A testbed brought up for one plan: facts read, hosts tuned, nginx and VIP in place. Cases are run on it."""

from __future__ import annotations

from dataclasses import asdict
from types import TracebackType
from typing import Any

from bmtlib.errors import BmtError
from bmtlib.hosts.facts import Facts, gather
from bmtlib.hosts.host import WORK, Host, each
from bmtlib.measure.arms import engine_of
from bmtlib.measure.preflight import PROOF_BYTES
from bmtlib.measure.probes import select
from bmtlib.measure.scripts import probe_script
from bmtlib.params.load_yaml import load_profile_set
from bmtlib.params.profile import ROLES, Nginx, Profile
from bmtlib.plan import Plan
from bmtlib.rundir import RunDir
from bmtlib.setup.change import Change, change_row
from bmtlib.setup.nginx import nginx_changes
from bmtlib.setup.sysctl import NotApplied, tuning
from bmtlib.setup.vip import director_vip, web_vip
from bmtlib.testbeds.netns import Lab
from bmtlib.testbeds.placement import Placement


class Session:
    """Hosts ready for cases. A context manager; leaving it takes the testbed down.

    `changes` and `not_applied` are by host: what was done to it, and which wishes of the tuning profile it cannot have.
    """

    def __init__(self, plan: Plan, *, placement: Placement, rootless: bool, run_id: str, prepare: bool = True) -> None:
        """With `prepare` False the hosts are there and nothing was done to them: `changes` is what would be."""
        self.plan, self.placement, self.rootless, self.run_id = plan, placement, rootless, run_id
        self.prepare = prepare
        self.profiles: dict[str, Profile | None] = {
            role: load_profile_set(plan.scenario.tuning, role) for role in ROLES
        }
        self.changes: dict[str, list[Change]] = {}
        self.not_applied: dict[str, list[NotApplied]] = {}
        self.facts: dict[str, Facts] = {}
        self.lab = self._open()

    def _open(self) -> Lab:
        scenario, testbed = self.plan.scenario, self.plan.testbed
        lab = Lab(
            testbed.network,
            webs=scenario.webs,
            clients=scenario.clients,
            placement=self.placement,
            rootless=self.rootless,
        )
        try:
            for host in lab.hosts.values():
                host.run_id = self.run_id
            self.facts = each(lab.hosts.values(), lambda host: gather(host, self._sysctl_keys(host.role)))
            prepared = each(lab.hosts.values(), lambda host: self._wishes(host))
            self.changes = {name: changes for name, (changes, _) in prepared.items()}
            self.not_applied = {name: skipped for name, (_, skipped) in prepared.items()}
            if self.prepare:
                each(lab.hosts.values(), lambda host: host.apply(self.changes[host.name]))
        except BaseException:
            lab.close()
            raise
        return lab

    def reopen(self) -> None:
        """Take the testbed down and bring it up anew: after a host or a service of it has died."""
        self.lab.close()
        self.lab = self._open()

    def _sysctl_keys(self, role: str) -> list[str]:
        profile = self.profiles[role]
        return list(profile.sysctl) if profile else []

    def _wishes(self, host: Host) -> tuple[list[Change], list[NotApplied]]:
        """All changes that prepare one host: tuning first, then the VIP, then services."""
        facts, profile, network = self.facts[host.name], self.profiles[host.role], self.plan.testbed.network
        wish = {key: (str(setting.value), setting.reason) for key, setting in profile.sysctl.items()} if profile else {}
        changes, skipped = tuning(host.name, wish, facts.settings, namespace=True)
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
                engine=None,
                names=self.plan.scenario.probes,
                shared_machine=True,
            )
            place = f"{WORK}/facts"
            host.run(["sh", "-c", probe_script(place, probes, "once")])
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
