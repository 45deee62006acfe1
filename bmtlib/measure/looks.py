"""Looking at the hosts of one case: probes before and after its load, samples meanwhile, and fetching what they saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bmtlib.errors import CaseError
from bmtlib.hosts.host import Background, Host, each
from bmtlib.measure.probes import Probe, select
from bmtlib.measure.scripts import probe_script, sampler_script, stop_script
from bmtlib.measure.session import Session


class Looks:
    """`place` is the case's folder on every host, `engine` that of its arm."""

    def __init__(self, session: Session, *, engine: str, place: str) -> None:
        self._session, self._engine, self._place = session, engine, place

    def _select(self, host: Host, when: list[Any]) -> list[Probe]:
        return select(
            when,
            role=host.role,
            interfaces=host.interfaces.values(),
            engine=self._engine,
            names=self._session.plan.scenario.probes,
            shared_machine=not self._session.lab.speaks_for_machine(host),
        )

    def take(self, moment: str, hosts: Sequence[Host]) -> None:
        each(
            hosts,
            lambda host: host.run(["sh", "-c", self._script(host, moment)], cpus=self._session.lab.observer_cpus(host)),
        )

    def _script(self, host: Host, moment: str) -> str:
        return probe_script(self._place, self._select(host, ["around", "during"]), moment)

    def fetch(self, host: Host) -> dict[str, bytes]:
        """The host's files of this case, its "after" probes among them."""
        first = "" if host is self._session.lab.director else self._script(host, "after")
        return host.collect(self._place, first=first, remove=True)

    def start_sampler(self, host: Host, most: int) -> Background:
        """Sample a host each second: the director, and what speaks for the machine of the others."""
        script = sampler_script(self._place, self._select(host, ["during"]), every_s=1.0, most=most)
        return host.start(["sh", "-c", script], cpus=self._session.lab.observer_cpus(host))

    def stop_sampler(self, host: Host, sampler: Background) -> None:
        host.run(["sh", "-c", stop_script(self._place)], cpus=self._session.lab.observer_cpus(host))
        try:
            sampler.wait(5)
        except TimeoutError as error:
            raise CaseError(f"the sampler on {host.name} did not stop") from error
