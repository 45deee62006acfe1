"""All changes that prepare one host for a plan's cases, in their order; and which wishes it cannot have."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bmtlib.hosts.facts import Facts
from bmtlib.hosts.host import WORK, Host
from bmtlib.measure.preflight import PROOF_BYTES
from bmtlib.measure.tuning import proxy_cpus, tuning_changes
from bmtlib.params.profile import Nginx, Profile
from bmtlib.plan import Plan
from bmtlib.setup.change import Change
from bmtlib.setup.nginx import nginx_changes
from bmtlib.setup.sysctl import NotApplied
from bmtlib.setup.vip import director_vip, web_vip

if TYPE_CHECKING:
    from bmtlib.setup.system import System


def preparation(
    host: Host, plan: Plan, profile: Profile | None, facts: Facts, system: System | None, *, lasting: bool
) -> tuple[list[Change], list[NotApplied]]:
    """What is to be installed, tuning, openings for the service, the VIP, nginx.

    `system`: of the user's own hosts; a lab's has all it needs. With `lasting` the tuning is to outlive a reboot.
    """
    network, name = plan.testbed.network, f"{plan.scenario.tuning}-{host.role}"
    changes: list[Change] = []
    skipped: list[NotApplied] = []

    def more(found: tuple[list[Change], list[NotApplied]]) -> None:
        changes.extend(found[0])
        skipped.extend(found[1])

    if system is not None:
        from bmtlib.setup.roles import install_changes, lasting_changes, opening_changes

        needs = needs_of(plan, system)
        more(install_changes(host.name, host.role, system, needs=needs, namespace=host.namespace))
    tuned, cannot = tuning_changes(host, profile, facts.settings, proxy=proxy_cpus(None, host.cpus))
    more(([replace(change, profile=name) for change in tuned], cannot))
    if system is not None and lasting and profile is not None:
        left = {item.key for item in cannot}
        sysctls = {key: str(setting.value) for key, setting in profile.sysctl.items() if key not in left}
        more(
            lasting_changes(
                host.name,
                host.role,
                system,
                sysctls=sysctls,
                profile=name,
                kernel_args=profile.cpu.kernel_args,
                namespace=host.namespace,
            )
        )
    if system is not None:
        tls_port = tls_port_of(plan) if host.role == "director" else None
        more(opening_changes(host.name, host.role, system, port=network.port, tls_port=tls_port, work=WORK))
    if host.role == "director":
        changes += director_vip(host.name, str(network.vip), host.interfaces["front"], facts.sysctls())
    if host.role == "web":
        changes += web_vip(host.name, str(network.vip), facts.sysctls())
        changes += nginx_changes(
            host.name,
            (profile.nginx if profile else None) or Nginx(),
            file_sizes=[PROOF_BYTES, *(int(case.load.file_size) for case in plan.cases)],
            port=network.port,
            nofile=facts.nofile,
            work=WORK,
            user="root",
            cpus=host.cpus,
            config_before=facts.nginx_conf,
        )
    return changes, skipped


def needs_of(plan: Plan, system: System) -> frozenset[str]:
    return frozenset()


def tls_port_of(plan: Plan) -> int | None:
    return None
