"""What a run folder keeps of a session: its hosts, their facts, what was changed on them, versions of the programs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any

from bmtlib.errors import ParseError
from bmtlib.hosts.host import WORK, Host, each
from bmtlib.measure.probe_choice import select
from bmtlib.measure.scripts import probe_script
from bmtlib.measure.session import Session
from bmtlib.parsers.sysctl import local_ports
from bmtlib.programs import program_versions, versions_on
from bmtlib.rundir import LOOSE_HOSTS, RunDir
from bmtlib.setup.change import change_row

_ONCE_S = 120  # some hundred processes, each of which takes an emulated CPU 50 ms


def versions(session: Session) -> dict[str, str]:
    """Version of each program that is run; where the user's hosts differ, all that there are."""
    if session.ready.fleet is None:
        return program_versions()
    found: dict[str, dict[str, None]] = {}
    for said in each(session.lab.hosts.values(), versions_on).values():
        for name, version in said.items():
            found.setdefault(name, {})[version] = None
    return {name: " and ".join(sorted(versions)) for name, versions in found.items()}


def describe(session: Session) -> list[dict[str, Any]]:
    """The hosts for run.json."""
    return [
        {
            "name": host.name,
            "role": host.role,
            "machine": host.machine,
            "addresses": host.addresses,
            "interfaces": host.interfaces,
            "kernel": session.facts[host.name].kernel,
            "cpus": sorted(host.cpus),
        }
        for host in session.lab.hosts.values()
    ]


def record(session: Session, folder: RunDir, place: str = "") -> None:
    """Write facts/ and changes/ of every host, below `place`, and the probes that are taken once."""

    def once(host: Host) -> None:
        probes = select(
            ["once"],
            role=host.role,
            interfaces=host.interfaces.values(),
            engine=set(session.engines().values()),
            names=session.plan.scenario.probes,
            shared_machine=not session.lab.speaks_for_machine(host),
        )
        there = f"{WORK}/facts"
        host.run(["sh", "-c", probe_script(there, probes, "once")], timeout_s=_ONCE_S)
        for name, content in host.collect(there).items():
            folder.write(f"{place}facts/{host.name}/{name}", content)
            if name == "sysctl.once.txt":
                with suppress(ParseError):  # told when its table is made
                    session.ports[host.name] = local_ports(content.decode(errors="replace")) or 0

    # The clients of a lab are made alike: what they are is asked of the first ones.
    alike = [host.name for host in session.lab.role("client")[LOOSE_HOSTS:] if host.namespace]
    each([host for host in session.lab.hosts.values() if host.name not in alike], once)
    for name, facts in session.facts.items():
        folder.write_json(f"{place}facts/{name}.json", asdict(facts))
    record_changes(session, folder, place)


def record_changes(session: Session, folder: RunDir, place: str = "") -> None:
    """Write changes/ of every host, of all tunings. Again at the end: a host may have refused a later one."""
    for name, changes in session.changes.items():
        tunings = session.tunings.get(name, {}).values()
        applied = [*changes, *(change for wanted, _ in tunings for change in wanted)]
        skipped = [*session.not_applied[name], *(item for _, items in tunings for item in items)]
        folder.write_json(
            f"{place}changes/{name}.json",
            {
                "applied": [change_row(change) for change in applied],
                "not_applied": [asdict(item) for item in skipped],
            },
        )
