"""What a role needs on a machine of the user's own, put together: installed, lasting, let in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from bmtlib.setup.change import Change
from bmtlib.setup.lasting import MACHINES_OWN, irqbalance_off, kernel_arguments, limits_file, sysctl_file
from bmtlib.setup.modules import module_changes
from bmtlib.setup.openings import opening_changes
from bmtlib.setup.packages import missing_packages, package_change
from bmtlib.setup.sysctl import NotApplied
from bmtlib.setup.system import unsupported
from bmtlib.setup.units import stand_aside

if TYPE_CHECKING:
    from bmtlib.setup.system import System

__all__ = ["install_changes", "lasting_changes", "opening_changes", "unsupported"]

Found = tuple[list[Change], list[NotApplied]]


def install_changes(
    host: str,
    role: str,
    system: System,
    *,
    needs: Collection[str],
    namespace: bool,
    ports: Collection[int] = (80,),
) -> Found:
    """Packages, kernel modules, and what has to make way for our own nginx or HAProxy on `ports`.

    `needs`: of a director "haproxy", "haproxy-build", "ipvs", "nft", "tls", "ipip"; of any host "conntrack", if a
    setting is below net.netfilter. With `namespace` the host shares its kernel, whose modules are left alone.
    """
    needs = set(needs) if role == "director" else set(needs) & {"conntrack"}
    names = missing_packages(role, needs, system)
    changes = package_change(host, system, names, "what a web host runs" if role == "web" else f"what a {role} runs")
    modules, skipped = module_changes(host, needs, system, namespace=namespace)
    changes += modules
    servers = {"web": {"nginx"}, "director": {"haproxy"} if needs & {"haproxy", "haproxy-build"} else set()}
    if own := servers.get(role):
        aside, in_the_way = stand_aside(host, system, names=own, ports=ports, everywhere=role == "web")
        changes += aside
        skipped += in_the_way
    return changes, skipped


def lasting_changes(
    host: str,
    role: str,
    system: System,
    *,
    sysctls: Mapping[str, str],
    profile: str,
    kernel_args: Sequence[str] | None,
    namespace: bool,
    irqs: bool = False,
) -> Found:
    """What is to be there after a reboot, too.

    `sysctls`: key -> value of those in force. `irqs`: the profile places interrupts, so irqbalance stays off.
    """
    changes, skipped = sysctl_file(host, system, sysctls, profile=profile)
    arguments = kernel_args or ()
    if namespace:
        if arguments:
            words = " ".join(arguments)
            skipped.append(NotApplied(host=host, key="kernel arguments", want=words, now=None, why=MACHINES_OWN))
        return changes, skipped
    for more in (
        kernel_arguments(host, system, arguments, profile=profile),
        limits_file(host, system, profile=profile) if role == "client" else ([], []),
        (irqbalance_off(host, system, profile=profile) if irqs or arguments else [], []),
    ):
        changes += more[0]
        skipped += more[1]
    return changes, skipped
