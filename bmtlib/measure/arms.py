"""Which changes put an arm in place on the director, and with which engine."""

from __future__ import annotations

from collections.abc import Mapping

from bmtlib.errors import MachineError
from bmtlib.hosts.facts import Facts
from bmtlib.hosts.host import WORK, Host
from bmtlib.params.scenario import Arm, DirectArm, L2dsrArm, ProxyArm
from bmtlib.params.testbed import Network
from bmtlib.setup.change import Change
from bmtlib.setup.haproxy import check_proxy, haproxy_changes
from bmtlib.setup.lvs import ipvs_changes
from bmtlib.setup.nftables import nft_changes


def engine_of(arm: Arm, facts: Facts) -> str:
    """What will drive the arm: none, haproxy, ipvs or nft. MachineError when the wanted one is not there."""
    if isinstance(arm, ProxyArm):
        return "haproxy"
    if isinstance(arm, DirectArm):
        return "none"
    if arm.engine == "ipvs" and not facts.ip_vs:
        raise MachineError(
            "this kernel has no ip_vs (LVS)",
            where="arms: l2dsr: engine: ipvs",
            todo="use `engine: auto` or `nft`; or load the module as root: modprobe ip_vs",
        )
    if arm.engine == "auto":
        return "ipvs" if facts.ip_vs else "nft"
    return arm.engine


def arm_changes(
    arm: Arm, engine: str, *, director: Host, facts: Mapping[str, Facts], webs: list[Host], network: Network
) -> list[Change]:
    """Changes on the director that put `arm` in place; none for `direct`."""
    servers = {web.name: web.addresses["back"] for web in webs}
    own = facts[director.name]
    vip = str(network.vip)
    if isinstance(arm, ProxyArm):
        return haproxy_changes(
            director.name,
            arm,
            servers=servers,
            vip=vip,
            port=network.port,
            cpus=director.cpus,
            maxconn=check_proxy(arm, cpus=director.cpus, nofile=own.nofile, servers=len(servers)),
            nofile=own.nofile,
            work=WORK,
            config_before=own.haproxy_cfg,
        )
    if isinstance(arm, DirectArm):
        return []
    if engine == "ipvs":
        return ipvs_changes(director.name, arm, servers=servers, vip=vip, port=network.port)
    return nft_changes(
        director.name,
        macs=[facts[web.name].macs[web.interfaces["back"]] for web in webs],
        back_mac=own.macs[director.interfaces["back"]],
        front=director.interfaces["front"],
        back=director.interfaces["back"],
        vip=vip,
        port=network.port,
    )


def picks_by_client(arm: Arm, engine: str) -> bool:
    """Whether the balancer picks the web host by the client's address alone, so that one client meets one web host."""
    if isinstance(arm, ProxyArm):
        return arm.balance == "source"
    return engine == "ipvs" and isinstance(arm, L2dsrArm) and arm.scheduler in ("sh", "mh")
