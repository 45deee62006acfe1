"""Which proofs an arm has to give before its load."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from bmtlib.hosts.host import WORK
from bmtlib.measure import preflight
from bmtlib.measure.arms import picks_by_client
from bmtlib.measure.preflight import Proof
from bmtlib.params.scenario import ProxyArm
from bmtlib.params.testbed import Network
from bmtlib.plan import Case
from bmtlib.testbeds.bed import Bed


def proofs_of(case: Case, engine: str, lab: Bed, network: Network) -> list[Proof]:
    """The proofs of a case whose arm is up. CaseError where the arm does not do what its name says."""
    client, director = lab.role("client")[0], lab.director
    webs = {host.name: host.addresses["back"] for host in lab.role("web")}
    size, place, base = int(case.load.file_size), f"{WORK}/preflight", f"http://{network.vip}:{network.port}"
    if case.kind == "direct":
        bases = {name: f"http://{address}:{network.port}" for name, address in webs.items()}
        proofs = [preflight.prove_direct_answers(client, place, bases=bases, size=size)]
        base = next(iter(bases.values()))
    else:
        # The ARP question waits for late answers, and is no matter to the requests.
        with ThreadPoolExecutor(max_workers=1) as beside:
            arp = beside.submit(preflight.prove_arp, client, director, str(network.vip))
            answers = preflight.prove_answers(
                lab.role("client"),
                place,
                base=base,
                webs=list(webs),
                size=size,
                by_client=picks_by_client(case.settings, engine),
            )
        proofs = [answers, arp.result()]
    if isinstance(case.settings, ProxyArm) and (tls := case.settings.tls):
        proofs.append(preflight.prove_tls(client, network.vip, tls.port, size))
    # By itself: what it counts are bytes of the director's interfaces.
    return [*proofs, preflight.prove_path(client, director, place, kind=case.kind, base=base, count=len(webs))]
