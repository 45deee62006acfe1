"""One case on a ready testbed: arm up, proof, warm-up, drain, probes, load, probes, arm down, verdict of the guards."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from bmtlib.errors import BmtError, CaseError, HostError, MachineError
from bmtlib.hosts.host import WORK, each
from bmtlib.measure import outcome
from bmtlib.measure.barrier import Ended, run_loads, warm_up
from bmtlib.measure.guards.director import director_idle, vcpus
from bmtlib.measure.guards.guard import Guard
from bmtlib.measure.guards.judge import case_guards
from bmtlib.measure.guards.seen import Seen
from bmtlib.measure.in_place import InPlace
from bmtlib.measure.load import ClientLoad, client_loads, deadline_s, load_command, warmup_command
from bmtlib.measure.load_outcome import outcome_of
from bmtlib.measure.looks import Looks
from bmtlib.measure.probes import LVS_SETTLED
from bmtlib.measure.proofs import proofs_of
from bmtlib.measure.session import Session
from bmtlib.measure.sockets import listens, open_sockets
from bmtlib.plan import Case
from bmtlib.rundir import FORMAT, RunDir

_DRAIN_DEADLINE_S = 15.0
_SETTLE_DEADLINE_S = 5.0
_POLL_S = 0.02  # to look costs CPU time that those who are looked at need


class CaseRun:
    """Runs one case and writes its folder. `tell(state, **fields)` is called at each phase."""

    def __init__(self, case: Case, session: Session, folder: RunDir, tell: Callable[..., None]) -> None:
        self.case, self.session, self.folder, self.tell = case, session, folder, tell
        self.lab = session.lab
        self.place = f"{WORK}/cases/{case.id}"
        self.engine = session.engines()[case.arm]
        self.phase_s: dict[str, float] = {}
        self.dirty = False  # the arm could not be taken down: the testbed must not serve another case
        self._collected = False
        self.in_place = InPlace(case, session)
        self.looks = Looks(session, engine=self.engine, place=self.place)
        network = session.plan.testbed.network
        self.base = f"http://{network.vip}:{network.port}"
        self.port = network.port
        webs = {host.name: host.addresses["back"] for host in self.lab.role("web")}
        self.parts: list[ClientLoad] = client_loads(
            case.load,
            clients=[host.name for host in self.lab.role("client")],
            kind=case.kind,
            vip=str(network.vip),
            webs=webs,
            port=network.port,
            shares=session.shares(case.load),
        )
        self.record: dict[str, Any] = {
            "format": FORMAT,
            "id": case.id,
            "arm": case.arm,
            "kind": case.kind,
            "engine": self.engine,
            "block": case.block,
            "index": case.index,
            "digest": case.digest,
            "levels": case.levels,
            "load": case.load.model_dump(mode="json"),
            "status": "running",
            "error": None,
            "started_epoch_s": time.time(),
            "start_epoch_s": None,
            "end_epoch_s": None,
            "window_s": None,
            "skew_ms": None,
            "skew_p99_ms": None,
            "late_ms": None,
            "requests": {"sent": 0, "completed": 0, "failed": 0, "cut_off": None, "opened": None},
            "changes": self.in_place.changes,
            "clients": [],
            "guards": [],
            "preflight": [],
            "clock": {},
            "director_cpus": sorted(self.lab.director.cpus),
            "not_applied": self.in_place.not_applied,
            "phase_s": self.phase_s,
        }

    def run(self) -> dict[str, Any]:
        """The case from arm up to arm down; its record, also written as case.json.

        A case fails alone: what went wrong is in the record. MachineError (disk full, no rights) and KeyboardInterrupt
        pass through after the record is written.
        """
        try:
            with self._phase("apply"):
                self.in_place.put()
            self._measure()
        except KeyboardInterrupt:
            self._give_up("interrupted", CaseError("ended by Ctrl-C"))
            raise
        except MachineError as error:
            self._give_up("failed", error)
            raise
        except Exception as error:
            # Also what nobody thought of: a fault of ours in one case must not cost the others.
            self._give_up("failed", error)
        finally:
            with self._phase("undo"):
                self._take_down()
            self.folder.write_json(f"cases/{self.case.id}/case.json", self.record)
        return self.record

    def leave_out(self, reason: str) -> None:
        """Not measured, because this director cannot have the case's levels: case.json says so."""
        self.record["status"] = "left out"
        self.record["error"] = {"what": reason, "where": "", "todo": "a director with more CPUs or queues"}
        self.folder.write_json(f"cases/{self.case.id}/case.json", self.record)

    def _take_down(self) -> None:
        for error in self.in_place.take_down():
            self.dirty = True
            self._give_up("failed", error)

    def _give_up(self, status: str, error: Exception) -> None:
        """Record the first reason, and keep what the hosts have: a half answer is evidence too."""
        if self.record["error"] is None:
            what = error if isinstance(error, BmtError) else BmtError(f"{type(error).__name__}: {error}")
            trouble = "; ".join([what.where, *self.lab.trouble()[-3:]]).lstrip("; ")
            self.record["error"] = {"what": what.what, "where": trouble, "todo": what.todo}
            self.record["status"] = status
        files = {}
        for host in [] if self._collected else self.lab.hosts.values():
            with suppress(HostError, OSError):
                files[host.name] = host.collect(self.place)
        self._keep({name: content for name, content in files.items() if content})

    def _keep(self, files: Mapping[str, dict[str, bytes]]) -> None:
        self.folder.write_case(self.case.id, files, {host.name: host.role for host in self.lab.hosts.values()})

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self.tell(name)
        started = time.monotonic()
        try:
            yield
        finally:
            self.phase_s[name] = round(self.phase_s.get(name, 0) + time.monotonic() - started, 3)

    def _measure(self) -> None:
        with self._phase("preflight"):
            self.prove()
        with self._phase("warmup"):
            self.warm_up()
        with self._phase("drain"):
            self.record["guards"].append(outcome.as_rows([self._drain()])[0])
        with self._phase("probe"):
            # The director last: from now on its CPUs are its own.
            self.looks.take("before", [host for host in self.lab.hosts.values() if host is not self.lab.director])
            self.looks.take("before", [self.lab.director])
        with self._phase("load"):
            ended = self._load()
        with self._phase("collect"):
            files = self.looks.finish()
            for end in ended:
                files[end.host] |= end.files
            self._collected = True
            self._keep(files)
        with self._phase("settle"):
            # What ends a connection that its client has left goes through the arm, which is taken down next.
            self._still_open(_SETTLE_DEADLINE_S)
        with self._phase("judge"):
            self._judge(files, [f"{end.host}: {end.error}" for end in ended if end.error])

    # --- phases ----------------------------------------------------------------------------------------------------

    def prove(self) -> None:
        """The preflight: raises CaseError where the arm does not do what its name says."""
        network = self.session.plan.testbed.network
        proofs = proofs_of(self.case, self.engine, self.lab, network)
        self.record["preflight"] = [{"name": proof.name, "ok": proof.ok, "text": proof.text} for proof in proofs]

    def warm_up(self) -> None:
        """The load for the scenario's warm-up time; its output is not kept."""
        seconds = self.case.load.warmup_seconds
        if not seconds:
            return
        commands = {part.client: warmup_command(part, self.case.load) for part in self.parts}
        limit_s = seconds + self.case.load.timeout_s + 10
        warm_up(self.lab.hosts, commands, name=self.case.load.engine, folder=f"{WORK}/warmup", timeout_s=limit_s)

    def _drain(self) -> Guard:
        """Wait until no client's connection is open anywhere (TIME_WAIT lasts 60 s and does no work)."""
        left = self._still_open(_DRAIN_DEADLINE_S)
        if self.engine == "ipvs":  # here, so that the director does not have to wait behind the probe of its CPUs
            self.lab.director.run(["sh", "-c", LVS_SETTLED])
        text, count = "all connections closed before the load", sum(states.total() for states in left.values())
        if left:
            states = sum(left.values(), Counter[str]())
            text = f"{count} connections still open before the load, on {', '.join(list(left)[:5])}: "
            text += ", ".join(f"{state} {number}" for state, number in states.items())
        # Asked of the kernel, and not kept: there is no raw file to point at.
        return Guard(name="drained", verdict="mark" if left else "ok", value=count, limit=0, text=text)

    def _still_open(self, deadline_s: float) -> dict[str, Counter[str]]:
        """Open connections by host and state, after some time for them to close."""
        front, listeners = self.session.plan.testbed.network.front, self.session.listeners
        waiting = list(self.lab.hosts.values())
        deadline = time.monotonic() + deadline_s
        while True:
            counts = each(waiting, lambda host: open_sockets(host, front, listeners))
            waiting = [host for host in waiting if counts[host.name]]
            if not waiting or time.monotonic() > deadline:
                return {host.name: counts[host.name] for host in waiting}
            time.sleep(_POLL_S)

    def _load(self) -> list[Ended]:
        self.record["clock"] = self.lab.clocks()
        commands = {part.client: load_command(part, self.case.load) for part in self.parts}
        limit_s = deadline_s(self.case.load)
        with self.looks.sampling(int(limit_s) + 5):
            return run_loads(self.lab.hosts, commands, name=self.case.load.engine, folder=self.place, timeout_s=limit_s)

    def _judge(self, files: dict[str, dict[str, bytes]], errors: list[str]) -> None:
        record = self.record
        clients = [
            outcome_of(
                part, self.case.load, files[part.client], clock_offset_s=self.lab.hosts[part.client].clock_offset_s
            )
            for part in self.parts
        ]
        window = outcome.window_of(clients)
        record["clients"] = outcome.as_rows(clients)
        record["requests"] = outcome.request_counts(clients, keepalive=self.case.load.keepalive)
        if window is not None:
            record["start_epoch_s"], record["end_epoch_s"] = window.start_epoch_s, window.end_epoch_s
            record["window_s"], record["skew_ms"] = round(window.seconds, 6), window.skew_ms
            record["skew_p99_ms"], record["late_ms"] = window.skew_p99_ms, window.late_ms
        guards = case_guards(
            self.case,
            self.engine,
            self._seen(files),
            clients,
            window,
            record["requests"],
            service=self.base.removeprefix("http://"),
            ports=self.session.ports,
            nofile={name: facts.nofile for name, facts in self.session.facts.items()},
        )
        guards += vcpus(self.lab.director.cpus, self.lab.placement.director) if self.lab.about else []
        if self.case.kind == "direct" and self.lab.placement.separate:
            idle = director_idle(files[self.lab.director.name], self.lab.director.cpus)
            guards += [idle] if idle else []
        record["guards"] += outcome.as_rows(guards)
        died = [
            f"{client.host} (exit code {client.rc}): {client.said}" for client in clients if client.status == "died"
        ]
        silent = [web.name for web in self.lab.role("web") if not listens(files[web.name], self.port)]
        if died or errors:
            raise CaseError(f"a load generator died: {'; '.join(died or errors)}", where=self.case.id)
        if silent:
            raise CaseError(
                f"after the load nothing listens on port {self.port} of {', '.join(silent)}", where=self.case.id
            )
        rejected = any(guard["verdict"] == "reject" for guard in record["guards"])
        record["status"] = "rejected" if rejected else "done"

    def _seen(self, files: dict[str, dict[str, bytes]]) -> Seen:
        hosts = self.lab.hosts
        return Seen(
            files,
            roles={name: host.role for name, host in hosts.items()},
            machines={name: host.machine for name, host in hosts.items()},
            director_cpus=frozenset(self.lab.director.cpus) if self.lab.placement.separate else frozenset(),
        )
