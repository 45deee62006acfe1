"""Looking at the hosts of one case: probes before and after its load, samples meanwhile, and fetching what they saw."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from bmtlib.errors import CaseError
from bmtlib.hosts.host import PARALLEL, Background, Host, each
from bmtlib.hosts.netns import NetnsHost
from bmtlib.measure.probe_choice import select
from bmtlib.measure.probes import BY_NAME, Probe
from bmtlib.measure.scripts import probe_script, sampler_script, stop_script
from bmtlib.measure.session import Session

_OPEN = BY_NAME["sockstat"]
_EVERY_S = 1.0
_PROBES_S = 120  # all probes of a host; a machine that was loaded to its limit is slow to answer


def from_outside(host: Host) -> NetnsHost | None:
    """The host, where all that is asked of it is read without entering it: a lab's client, of which there are many."""
    return host if isinstance(host, NetnsHost) and host.role == "client" else None


class Looks:
    """`place` is the case's folder on every host, `engine` that of its arm."""

    def __init__(self, session: Session, *, engine: str, place: str) -> None:
        self._session, self._engine, self._place = session, engine, place
        self._noted: dict[str, dict[str, bytes]] = {}  # by host: what the controller read itself

    def _select(self, host: Host, when: list[Any]) -> list[Probe]:
        return select(
            when,
            role=host.role,
            interfaces=host.interfaces.values(),
            engine=self._engine,
            names=self._session.plan.scenario.probes,
            shared_machine=not self._session.lab.speaks_for_machine(host),
            from_outside=from_outside(host) is not None,
        )

    def take(self, moment: str, hosts: Sequence[Host]) -> None:
        """Take the probes of these hosts. Those read from outside are read while the others are at theirs."""

        def enter(host: Host) -> None:
            cpus = self._session.lab.observer_cpus(host)
            host.run(["sh", "-c", self._script(host, moment)], cpus=cpus, timeout_s=_PROBES_S)

        with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
            entered = [pool.submit(enter, host) for host in hosts if from_outside(host) is None]
            for host in hosts:
                self._read(host, moment)
        for one in entered:
            one.result()

    def _read(self, host: Host, moment: str) -> bool:
        """Take the probes of a host that need no process there; False where they do."""
        if (lab_host := from_outside(host)) is None:
            return False
        noted = self._noted.setdefault(host.name, {})
        for probe in self._select(host, ["around", "during"]):
            noted[f"{probe.name}.{moment}.txt"] = lab_host.proc_net(probe.files)
        return True

    def _script(self, host: Host, moment: str) -> str:
        return probe_script(self._place, self._select(host, ["around", "during"]), moment)

    def finish(self) -> dict[str, dict[str, bytes]]:
        """The "after" probes, and by host all files of this case, which are taken away from there.

        The director first, alone: its counters are the case's result. Then the others, on all CPUs.
        """
        director = self._session.lab.director
        hosts = list(self._session.lab.hosts.values())
        self.take("after", [director])
        if all(isinstance(host, NetnsHost) for host in hosts):
            self.take("after", [host for host in hosts if host is not director])
            return {host.name: self._noted.get(host.name, {}) | _take_out(host, self._place) for host in hosts}

        def fetch(host: Host) -> dict[str, bytes]:
            """In one round trip."""
            noted = self._noted.get(host.name, {})
            if self._read(host, "after"):
                return noted | _take_out(host, self._place)
            first = "" if host is director else self._script(host, "after")
            return host.collect(self._place, first=first, remove=True) | noted

        return each(hosts, fetch)

    @contextmanager
    def sampling(self, most: int) -> Iterator[None]:
        """Sample each second, `most` times at the most: who speaks for a machine by itself, a lab's web hosts from
        here: how many sockets they have open is their share of the load at that moment.
        """
        observed = [host for host in self._session.lab.hosts.values() if self._session.lab.speaks_for_machine(host)]
        lab_webs = [host for host in self._session.lab.role("web") if isinstance(host, NetnsHost)]
        samplers = [(host, self._start_sampler(host, most)) for host in observed]
        over = threading.Event()
        names = self._session.plan.scenario.probes
        if names != "all" and _OPEN.name not in names and _OPEN.instead_of not in names:
            lab_webs = []
        thread = threading.Thread(target=self._count_open, args=(lab_webs, over, most), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            for host, sampler in samplers:
                self._stop_sampler(host, sampler)

    def _count_open(self, hosts: Sequence[NetnsHost], over: threading.Event, most: int) -> None:
        name = f"{_OPEN.name}.during.txt"
        for _ in range(most if hosts else 0):
            for host in hosts:
                noted = self._noted.setdefault(host.name, {})
                head = f"### {time.time():.9f}\n".encode()
                noted[name] = noted.get(name, b"") + head + host.proc_net(_OPEN.files)
            if over.wait(_EVERY_S):
                return

    def _start_sampler(self, host: Host, most: int) -> Background:
        """Sample a host each second: the director, and what speaks for the machine of the others."""
        script = sampler_script(self._place, self._select(host, ["during"]), every_s=_EVERY_S, most=most)
        return host.start(["sh", "-c", script], cpus=self._session.lab.observer_cpus(host))

    def _stop_sampler(self, host: Host, sampler: Background) -> None:
        host.run(["sh", "-c", stop_script(self._place)], cpus=self._session.lab.observer_cpus(host))
        try:
            sampler.wait(5)
        except TimeoutError as error:
            raise CaseError(f"the sampler on {host.name} did not stop") from error


def _take_out(host: Host, place: str) -> dict[str, bytes]:
    """What lies in a folder of a lab's host, which is removed. Read from outside; no folder is an empty one."""
    assert isinstance(host, NetnsHost)
    folder = host.path(place)
    try:
        files = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
        shutil.rmtree(folder)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CaseError(f"the files of {host.name} cannot be read: {error}") from error
    return files
