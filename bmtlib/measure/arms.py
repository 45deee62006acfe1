"""Which changes put an arm in place, on which hosts, and with which engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bmtlib.errors import CaseError, MachineError
from bmtlib.hosts.facts import Facts
from bmtlib.hosts.host import WORK, Host
from bmtlib.params.proxy_options import Build
from bmtlib.params.scenario import AnyLvsArm, Arm, DirectArm, L2dsrArm, L3dsrArm, ProxyArm
from bmtlib.params.testbed import Network
from bmtlib.parsers import ipvsadm
from bmtlib.setup import lvs
from bmtlib.setup.change import Change, Command
from bmtlib.setup.haproxy import check_proxy, haproxy_changes
from bmtlib.setup.haproxy_build import build_changes, build_in_lab, build_probe
from bmtlib.setup.nftables import nft_changes
from bmtlib.setup.sysctl import parse_probe, probe
from bmtlib.setup.system import System
from bmtlib.setup.tls import certificate_changes, certificate_probe

# A device of a kind that the kernel does not know cannot be made. One without an address would be tunl0's double.
_TRY_TUNNEL = f'ip link add name {lvs.TUNNEL} type ipip local "$1" && ip link del {lvs.TUNNEL}'


def engine_of(arm: Arm, facts: Facts) -> str:
    """What will drive the arm: none, haproxy, ipvs or nft. MachineError when the wanted one is not there."""
    if isinstance(arm, ProxyArm):
        return "haproxy"
    if isinstance(arm, DirectArm):
        return "none"
    if arm.engine == "auto":
        return "ipvs" if facts.ip_vs else "nft"
    if arm.engine == "ipvs" and not facts.ip_vs:
        other = "`engine: auto` or `nft`; or " if isinstance(arm, L2dsrArm) else ""
        raise MachineError(
            "the director's kernel has no ip_vs (LVS)",
            where=f"arms: {arm.kind}: engine: ipvs",
            todo=f"{other}`--testbed vm`, whose director has a kernel of its own; or, as root: modprobe ip_vs",
        )
    return arm.engine


def check_web_kernels(arms: Iterable[Arm], webs: Sequence[Host]) -> None:
    """Raise MachineError when a web host's kernel lacks what an arm needs there: IPIP tunnels, for l3dsr."""
    if not any(isinstance(arm, L3dsrArm) for arm in arms):
        return
    for web in {web.machine: web for web in reversed(webs)}.values():
        result = web.run(["sh", "-c", _TRY_TUNNEL, "sh", web.addresses["back"]], check=False)
        if result.rc != 0:
            raise MachineError(
                f"the kernel of {web.name} has no IPIP tunnels: {result.stderr.strip()}",
                where="arms: l3dsr",
                todo="leave the arm out; or a kernel with CONFIG_NET_IPIP for the web hosts (as root: modprobe ipip)",
            )


def arm_changes(
    arm: Arm,
    engine: str,
    *,
    director: Host,
    facts: Mapping[str, Facts],
    webs: Sequence[Host],
    network: Network,
    system: System | None = None,
) -> dict[str, list[Change]]:
    """Changes by host name that put `arm` in place; none for `direct`. To be applied on web hosts first.

    `system`: what the director is, where it is the user's own. Settings that the arm needs are read as they are there
    now. Raises InputError, MachineError or CaseError where a host cannot do it.
    """
    if isinstance(arm, DirectArm):
        return {}
    servers = {web.name: web.addresses["back"] for web in webs}
    own = facts[director.name]
    vip, port = str(network.vip), network.port
    if isinstance(arm, ProxyArm):
        nofile = own.nofile if system is None else system.service_nofile
        changes = haproxy_changes(
            director.name,
            arm,
            servers=servers,
            vip=vip,
            port=port,
            cpus=director.cpus,
            maxconn=check_proxy(arm, cpus=director.cpus, nofile=nofile, servers=len(servers)),
            nofile=nofile,
            work=WORK,
            config_before=own.haproxy_cfg,
            system=system,
            certificate=_said(director, certificate_probe(arm.tls, vip)) if arm.tls else None,
            built=_said(director, build_probe(build_at(arm.build, system))) if arm.build else None,
        )
        return {director.name: changes}
    if engine == "nft":
        changes = nft_changes(
            director.name,
            macs=[facts[web.name].macs[web.interfaces["back"]] for web in webs],
            back_mac=own.macs[director.interfaces["back"]],
            front=director.interfaces["front"],
            back=director.interfaces["back"],
            vip=vip,
            port=port,
        )
        return {director.name: changes}
    check_web_kernels([arm], webs)
    coming = system is not None and system.modules["ip_vs"] == "available"
    return _web_changes(arm, director, webs, network) | {
        director.name: lvs.director_changes(
            director.name,
            arm,
            servers=servers,
            vip=vip,
            port=port,
            front=director.interfaces["front"],
            back=director.interfaces["back"],
            sysctls=_sysctls_now(arm, director, coming=coming),
            timeouts=_timeouts_now(arm, director, coming=coming),
        )
    }


def proxy_needs(arms: Iterable[Arm], director: Host, network: Network, system: System | None) -> list[Change]:
    """What proxy arms need once for all their cases: HAProxy built from source, certificates."""
    changes: list[Change] = []
    for arm in arms:
        if isinstance(arm, ProxyArm) and arm.build:
            build = build_at(arm.build, system)
            built = _said(director, build_probe(build))
            changes += build_changes(director.name, build, system=system, built=built)
        if isinstance(arm, ProxyArm) and arm.tls:
            vip = str(network.vip)
            present = _said(director, certificate_probe(arm.tls, vip))
            changes += certificate_changes(director.name, arm.tls, vip=vip, present=present)
    return list({change.what: change for change in changes}.values())  # two arms may need the same


def build_at(build: Build, system: System | None) -> Build:
    """Where it is built: below its prefix on a host of the user's own, else where a lab's files are."""
    return build if system is not None else build_in_lab(build, WORK)


def _said(host: Host, look: Command) -> str:
    return host.run(look.argv, stdin=look.stdin, check=False).stdout


def _web_changes(arm: AnyLvsArm, director: Host, webs: Sequence[Host], network: Network) -> dict[str, list[Change]]:
    if arm.kind == "nat":
        gateway = director.addresses["back"]
        return {
            web.name: lvs.nat_web_changes(
                web.name, front=network.front, gateway=gateway, interface=web.interfaces["back"]
            )
            for web in webs
        }
    if arm.kind == "l3dsr":
        return {
            web.name: lvs.tunnel_web_changes(web.name, address=web.addresses["back"], vip=str(network.vip))
            for web in webs
        }
    return {}


def _sysctls_now(arm: AnyLvsArm, director: Host, *, coming: bool) -> dict[str, str]:
    """Present values, which the tuning profile or a lever may have changed since facts were gathered.

    With `coming` LVS's module was not loaded when the host was looked at: until it is, its keys are missing.
    """
    keys = lvs.sysctls_needed(arm, front=director.interfaces["front"], back=director.interfaces["back"])
    settings = parse_probe(director.run(probe(keys).argv).stdout)
    if coming:
        settings = {key: it for key, it in settings.items() if it.value is not None or not key.startswith(lvs.KEYS)}
    if absent := [key for key, setting in settings.items() if setting.mode != "writable"]:
        raise CaseError(
            f"{director.name} cannot be given {', '.join(absent)}: {settings[absent[0]].mode} there",
            where=f"arms: {arm.kind}",
            todo="leave the option out of the arm; or a kernel that has it",
        )
    return {key: setting.value or "" for key, setting in settings.items()}


def _timeouts_now(arm: AnyLvsArm, director: Host, *, coming: bool) -> ipvsadm.TimeoutsRow | None:
    if arm.timeouts is None:
        return None
    said = director.run(["ipvsadm", "-L", "--timeout"], check=not coming)
    return lvs.TIMEOUTS if said.rc else ipvsadm.parse_timeouts(said.stdout)[0]


def picks_by_client(arm: Arm, engine: str) -> bool:
    """Whether the balancer picks the web host by the client's address alone, so that one client meets one web host."""
    if isinstance(arm, ProxyArm):
        return arm.balance == "source"
    return engine == "ipvs" and not isinstance(arm, DirectArm) and arm.scheduler in ("sh", "mh")
