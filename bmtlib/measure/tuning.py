"""Which changes bring a host to a tuning: kernel settings, network cards, interrupts, CPUs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bmtlib.hosts.hardware import gather_hardware
from bmtlib.hosts.host import Host
from bmtlib.params.lever import rps_instead
from bmtlib.params.profile import HostTuning, hardware_keys
from bmtlib.params.scenario import Arm, ProxyArm
from bmtlib.plan import Case
from bmtlib.setup.change import Change
from bmtlib.setup.hardware import hardware_changes
from bmtlib.setup.hardware_facts import HardwareFacts
from bmtlib.setup.sysctl import NotApplied, Setting, parse_probe, probe, tuning


def proxy_cpus(arm: Arm | None, cpus: frozenset[int]) -> frozenset[int]:
    """The director's CPUs that a proxy's threads are pinned to; one, where there is no proxy."""
    threads = arm.threads if isinstance(arm, ProxyArm) else 1
    return frozenset(sorted(cpus)[:threads])


def tuning_changes(
    host: Host,
    wish: HostTuning | None,
    settings: Mapping[str, Setting],
    *,
    proxy: frozenset[int],
    hardware: HardwareFacts | None = None,
) -> tuple[list[Change], list[NotApplied]]:
    """Changes that bring `host` to `wish`, and what it cannot have.

    `settings`: present values of its sysctls; `hardware`: its cards and CPUs as they are now, None to have them read.
    """
    if wish is None:
        return [], []
    namespace = host.namespace
    wanted = {key: (str(setting.value), setting.reason) for key, setting in wish.sysctl.items()}
    changes, skipped = tuning(host.name, wanted, settings, namespace=namespace)
    if not hardware_keys(wish):
        return changes, skipped
    more, lacking = hardware_changes(
        host.name,
        wish,
        hardware or gather_hardware(host, wish=wish),
        interfaces=sorted(set(host.interfaces.values())),
        cpus=host.cpus,
        proxy_cpus=proxy,
        namespace=namespace,
    )
    return [*changes, *more], [*skipped, *lacking]


def case_tuning(
    case: Case, director: Host, hardware: Callable[[], HardwareFacts]
) -> tuple[list[Change], list[NotApplied]]:
    """What the levels of a case's lever and queues do to the director, over what the run's tuning did before.

    `hardware` gives the director's as they are between cases.
    """
    wish = case.director
    if case.queues is not None and director.namespace:
        wish = rps_instead(wish, case.queues, director.cpus)  # a veth has one queue, and its packets any CPU
    settings = parse_probe(director.run(probe(wish.sysctl).argv).stdout) if wish.sysctl else {}
    own = hardware() if hardware_keys(wish) else None
    return tuning_changes(director, wish, settings, proxy=proxy_cpus(case.settings, director.cpus), hardware=own)
