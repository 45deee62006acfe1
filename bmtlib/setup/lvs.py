"""The l2dsr arm on a kernel with ip_vs: LVS Direct Routing through ipvsadm(8)."""

from __future__ import annotations

from collections.abc import Mapping

from bmtlib.params.scenario import L2dsrArm
from bmtlib.setup.change import Change, command


def ipvs_rules(arm: L2dsrArm, *, servers: Mapping[str, str], vip: str, port: int) -> str:
    """Rules in the form of `ipvsadm --restore`: one virtual service, one real server per web host, `-g`."""
    thresholds = f" -x {arm.upper_threshold} -y {arm.lower_threshold}" if arm.upper_threshold else ""
    rules = [f"-A -t {vip}:{port} -s {arm.scheduler}"]
    rules += [f"-a -t {vip}:{port} -r {address}:{port} -g -w 1{thresholds}" for address in servers.values()]
    return "\n".join(rules) + "\n"


def ipvs_changes(host: str, arm: L2dsrArm, *, servers: Mapping[str, str], vip: str, port: int) -> list[Change]:
    """All rules in one step. Undo removes our virtual service and no other."""
    return [
        Change(
            host=host,
            what=f"ipvs {vip}:{port}",
            before=None,
            want=f"{len(servers)} real servers, {arm.scheduler}, Direct Routing",
            do=command("ipvsadm", "--restore", stdin=ipvs_rules(arm, servers=servers, vip=vip, port=port)),
            undo=command("ipvsadm", "-D", "-t", f"{vip}:{port}"),
            check=command("sh", "-c", 'ipvsadm -Sn | grep -c -- "^-a -t $1 "', "sh", f"{vip}:{port}"),
            expect=str(len(servers)),
            scope="netns",
            reason="LVS Direct Routing",
        )
    ]
