"""All changes that prepare one host for a plan's cases, in their order; and which wishes it cannot have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from bmtlib.hosts.facts import Facts
from bmtlib.hosts.host import WORK, Host
from bmtlib.measure.arms import proxy_needs
from bmtlib.measure.preflight import PROOF_BYTES
from bmtlib.measure.tuning import proxy_cpus, tuning_changes
from bmtlib.params.profile import Nginx, Profile
from bmtlib.params.scenario import DirectArm, L2dsrArm, ProxyArm
from bmtlib.plan import Plan
from bmtlib.setup import lvs
from bmtlib.setup.change import Change
from bmtlib.setup.nginx import document_root, nginx_changes
from bmtlib.setup.roles import install_changes, lasting_changes, opening_changes
from bmtlib.setup.sysctl import NotApplied, new_key_change
from bmtlib.setup.system import System
from bmtlib.setup.vip import director_vip, web_vip

# Keys that are there once a kernel module is.
_BROUGHT = {"module ip_vs": lvs.KEYS, "module nf_conntrack": "net.netfilter."}


Wishes = tuple[list[Change], list[NotApplied]]


def preparation(
    host: Host,
    plan: Plan,
    profiles: Mapping[str, Profile | None],
    facts: Facts,
    system: System | None,
    *,
    lasting: bool,
) -> tuple[Wishes, dict[str, Wishes]]:
    """What is to be installed, tuning, openings for the service, the VIP, nginx; and what of it depends on the tuning.

    `profiles` of this host's role by set. With one set all is in the first part. With several there is a second part,
    by set: the tuning, and nginx, which counts on it, but for the files that are asked for. `system`: of the
    user's own hosts; a lab's has all it needs. With `lasting` the tuning is to outlive a reboot.
    """
    installed = _installed(host, plan, profiles.values(), system)
    needed = _needed(host, plan, facts, system)
    tuned = {
        name: _tuned(host, profile, facts, system, name=f"{name}-{host.role}", installed=installed[0], lasting=lasting)
        for name, profile in profiles.items()
    }
    nginx = {name: _nginx(host, plan, profile, facts, system) for name, profile in profiles.items()}
    if len(profiles) == 1:
        return _joined(installed, *tuned.values(), needed, *((changes, []) for changes in nginx.values())), {}
    # What is asked for is the same with every tuning, and is not made anew with each.
    files = [change for change in next(iter(nginx.values())) if change.what.startswith(f"file {document_root(WORK)}/")]
    always = _joined(installed, needed, (files, []))
    ours = {change.what for change in always[0]}  # stays as the test itself needs it
    return always, {
        name: (
            [
                replace(change, profile=f"{name}-{host.role}")
                for change in (*changes, *nginx[name])
                if change.what not in ours
            ],
            [replace(item, profile=f"{name}-{host.role}") for item in skipped],
        )
        for name, (changes, skipped) in tuned.items()
    }


def _joined(*wishes: Wishes) -> Wishes:
    return [change for changes, _ in wishes for change in changes], [item for _, skipped in wishes for item in skipped]


def _needed(host: Host, plan: Plan, facts: Facts, system: System | None) -> Wishes:
    """Openings for the service, the VIP, what the arms need of a director."""
    network = plan.testbed.network
    vip, present = str(network.vip), facts.addresses
    changes: list[Change] = []
    skipped: list[NotApplied] = []
    if system is not None:
        tls_port = next((arm.tls.port for arm in _proxies(plan) if arm.tls), None) if host.role == "director" else None
        opened, closed = opening_changes(
            host.name,
            host.role,
            system,
            port=network.port,
            tls_port=tls_port,
            work=WORK,
            interfaces=sorted(set(host.interfaces.values())),
        )
        changes += opened
        skipped += closed
    if host.role == "director":
        changes += proxy_needs(plan.scenario.arms.values(), host, network, system)
        changes += director_vip(host.name, vip, host.interfaces["front"], facts.sysctls(), present=present)
    if host.role == "web":
        changes += web_vip(host.name, vip, facts.sysctls(), present=present)
    return changes, skipped


def _nginx(host: Host, plan: Plan, profile: Profile | None, facts: Facts, system: System | None) -> list[Change]:
    if host.role != "web":
        return []
    return nginx_changes(
        host.name,
        (profile.nginx if profile else None) or Nginx(),
        file_sizes=[PROOF_BYTES, *(int(case.load.file_size) for case in plan.cases)],
        port=plan.testbed.network.port,
        nofile=facts.nofile,
        work=WORK,
        user="root",
        cpus=host.cpus,
        config_before=facts.nginx_conf,
        system=system,
    )


def _installed(host: Host, plan: Plan, profiles: Iterable[Profile | None], system: System | None) -> Wishes:
    if system is None:
        return [], []
    needs: frozenset[str] = frozenset()
    for profile in profiles:
        needs |= needs_of(plan, profile, system, namespace=host.namespace)
    ports = {plan.testbed.network.port, *(arm.tls.port for arm in _proxies(plan) if arm.tls)}
    found = install_changes(host.name, host.role, system, needs=needs, namespace=host.namespace, ports=sorted(ports))
    return list(found[0]), list(found[1])


def _tuned(
    host: Host,
    profile: Profile | None,
    facts: Facts,
    system: System | None,
    *,
    name: str,
    installed: Iterable[Change],
    lasting: bool,
) -> Wishes:
    """The settings of the profile `name`."""
    changes: list[Change] = []
    skipped: list[NotApplied] = []
    if profile is None:
        return changes, skipped
    tuned, cannot = tuning_changes(host, profile, facts.settings, proxy=proxy_cpus(None, host.cpus))
    come = _with_modules(host, profile, cannot, installed)
    cannot = [item for item in cannot if item.key not in {change.what.removeprefix("sysctl ") for change in come}]
    changes += [replace(change, profile=name) for change in (*tuned, *come)]
    skipped += cannot
    args = profile.cpu.kernel_args or ()
    if system is not None and lasting:
        sysctls = {key: str(setting.value) for key, setting in profile.sysctl.items()}
        for item in cannot:
            sysctls.pop(item.key, None)
        found = lasting_changes(
            host.name,
            host.role,
            system,
            sysctls=sysctls,
            profile=name,
            kernel_args=args,
            namespace=host.namespace,
            irqs=profile.irq.cpus is not None,
        )
        changes += [replace(change, to_stay=True) for change in found[0]]
        skipped += found[1]
    elif args and not (system is not None and set(args) <= set(system.cmdline)):
        why = (
            "they count from the next boot on: `bmt apply` writes them"
            if system
            else "the testbed's kernel has its own"
        )
        skipped.append(NotApplied(host=host.name, key="kernel arguments", want=" ".join(args), now=None, why=why))
    return changes, skipped


def _with_modules(
    host: Host, profile: Profile, cannot: Iterable[NotApplied], planned: Iterable[Change]
) -> list[Change]:
    """Settings whose keys are not there yet, and will be with a module that is loaded before."""
    roots = tuple(_BROUGHT[change.what] for change in planned if change.what in _BROUGHT)
    return [
        new_key_change(host.name, item.key, str(profile.sysctl[item.key].value), reason=profile.sysctl[item.key].reason)
        for item in cannot
        if item.key in profile.sysctl and item.now is None and item.key.startswith(roots or ("-",))
    ]


def needs_of(plan: Plan, profile: Profile | None, system: System, *, namespace: bool) -> frozenset[str]:
    """What the plan's arms, and settings of the profile, need of a host, in the words of `install_changes`."""
    needs, has = set(), has_lvs(system, namespace)
    for arm in plan.scenario.arms.values():
        if isinstance(arm, ProxyArm):
            needs |= {"haproxy-build" if arm.build else "haproxy", *(["tls"] if arm.tls else [])}
        elif isinstance(arm, L2dsrArm) and (arm.engine == "nft" or (arm.engine == "auto" and not has)):
            needs.add("nft")
        elif not isinstance(arm, DirectArm):
            needs.add("ipvs")
    if profile is not None and any(key.startswith("net.netfilter.") for key in profile.sysctl):
        needs.add("conntrack")
    return frozenset(needs)


def has_lvs(system: System, namespace: bool) -> bool:
    """Whether the host's kernel has LVS, or will have it once the module is loaded."""
    state = system.modules["ip_vs"]
    return state == "loaded" or (state == "available" and not namespace)


def _proxies(plan: Plan) -> list[ProxyArm]:
    return [arm for arm in plan.scenario.arms.values() if isinstance(arm, ProxyArm)]
