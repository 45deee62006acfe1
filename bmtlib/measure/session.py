"""A testbed brought up for one plan: facts read, hosts tuned, nginx and VIP in place. Cases are run on it."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType

from bmtlib.errors import BmtError, MachineError
from bmtlib.hosts.every import every, good
from bmtlib.hosts.facts import Facts, gather
from bmtlib.hosts.hardware import gather_hardware
from bmtlib.hosts.host import Host, each
from bmtlib.measure.arms import arm_changes, check_web_kernels, engine_of
from bmtlib.measure.capacity import share
from bmtlib.measure.preparation import Wishes, has_lvs, preparation
from bmtlib.measure.ready import Ready, look_again
from bmtlib.params.load_yaml import load_profile_set
from bmtlib.params.profile import ROLES, Profile
from bmtlib.params.scenario import Arm, Load
from bmtlib.plan import Plan
from bmtlib.setup.change import Change
from bmtlib.setup.hardware_facts import HardwareFacts
from bmtlib.setup.sysctl import NotApplied, merged
from bmtlib.testbeds.bed import Bed
from bmtlib.testbeds.bring_up import bring_up
from bmtlib.testbeds.custody import Custody, take


class Session:
    """Hosts ready for cases. A context manager; leaving it takes the testbed down, or gives the user's hosts back.

    `changes` and `not_applied` are by host: what was done to it, and which wishes of the tuning profile it cannot have.
    What depends on the factor `tuning` stands in `tunings`, by host and set, and is done by `tune`.
    """

    def __init__(
        self,
        plan: Plan,
        ready: Ready,
        *,
        run_id: str,
        prepare: bool = True,
        keep: bool = False,
        take_over: str = "",
        resumed: bool = False,
    ) -> None:
        """With `prepare` False the hosts are there and nothing was done to them: `changes` is what would be.

        Of the user's own hosts: with `keep` their changes stay, also over a reboot; else they are rolled back at the
        end. `take_over`: "any" ends whoever holds their lock. `resumed`: an earlier session of this run may
        have been killed, so what it left is taken over, and taken back before they are prepared.
        """
        self.plan, self.ready, self.run_id, self.resumed = plan, ready, run_id, resumed
        self.prepare, self.keep, self.take_over = prepare, keep, take_over
        self.profiles: dict[str, dict[str, Profile | None]] = {
            role: {tuning: load_profile_set(tuning, role) for tuning in plan.scenario.tunings} for role in ROLES
        }
        self.tuning = ""  # that is in force, where cases differ in it
        self.tunings: dict[str, dict[str, Wishes]] = {}
        self.custody: Custody | None = None
        self.kept = False
        self.left: dict[str, str] = {}  # hosts that could not be rolled back, and why
        self.changes: dict[str, list[Change]] = {}
        self.not_applied: dict[str, list[NotApplied]] = {}
        self.facts: dict[str, Facts] = {}
        self.listeners: dict[str, int] = {}  # by web host of a lab: sockets that listen, once they were counted
        self.ports: dict[str, int] = {}  # local ports that each host may use, once `recorded.record` has asked
        self._hardware: HardwareFacts | None = None
        self.lab = self._open()

    def _open(self) -> Bed:
        scenario, ready = self.plan.scenario, self.ready
        lab = ready.fleet or bring_up(
            self.plan.testbed,
            webs=scenario.webs,
            clients=scenario.clients,
            placement=ready.placement,
            rootless=ready.rootless,
            vcpus=ready.vcpus,
        )
        try:
            for host in lab.hosts.values():
                host.run_id = self.run_id
            if ready.fleet and self.prepare:
                hosts = list(lab.hosts.values())
                self.custody = take(hosts, self.run_id, take_over=self.take_over, resumed=self.resumed)
                if self.resumed:
                    self._take_back(self.custody)
                    self.ready = look_again(self.plan, ready)
            self._prepare(lab)
        except BaseException:
            self._leave(lab)
            raise
        return lab

    def _prepare(self, lab: Bed) -> None:
        """Find out what every host is and wants; only then, and with `prepare`, change the first of them."""
        self.listeners.clear()
        hosts = lab.hosts.values()
        self.facts = each(hosts, self._gather)
        check_web_kernels(self.plan.scenario.arms.values(), lab.role("web"))
        prepared = each(hosts, self._wishes)
        self.changes = {name: changes for name, ((changes, _), _) in prepared.items()}
        self.not_applied = {name: skipped for name, ((_, skipped), _) in prepared.items()}
        self.tunings, self.tuning = {name: tunings for name, (_, tunings) in prepared.items() if tunings}, ""
        if self.prepare:
            refused = good(every(hosts, lambda host: host.apply(self.changes[host.name])))
            for name, more in refused.items():
                self.changes[name] = _without(self.changes[name], self.not_applied[name], more)
            self._tune(lab, self.plan.cases[0].tuning)

    def tune(self, tuning: str) -> None:
        """Bring all hosts from the tuning in force to this one, if they differ.

        On all hosts at once; nginx is stopped first and started last, for its sockets keep what was in force when they
        began to listen.
        """
        if self.tunings and tuning != self.tuning:
            self._tune(self.lab, tuning)

    def _tune(self, lab: Bed, tuning: str) -> None:
        if not self.tunings:
            return
        before, self._hardware = self.tuning, None
        self.tuning = "between two"  # what follows may break off
        self.listeners.clear()  # those of another nginx

        def switch(host: Host) -> list[NotApplied]:
            gone = self.tunings[host.name][before][0] if before else []
            return host.switch(merged(gone), merged(self.tunings[host.name][tuning][0]))

        for name, more in good(every(lab.hosts.values(), switch)).items():
            changes, skipped = self.tunings[name][tuning]
            changes[:] = _without(changes, skipped, more)
        self.tuning = tuning

    def _gather(self, host: Host) -> Facts:
        """LVS counts as there where its kernel module will be, once the host is prepared."""
        facts, system = gather(host, self._sysctl_keys(host.role)), self.ready.systems.get(host.name)
        lvs = system is not None and has_lvs(system, host.namespace)
        return replace(facts, ip_vs=facts.ip_vs or lvs)

    def _wishes(self, host: Host) -> tuple[Wishes, dict[str, Wishes]]:
        return preparation(
            host,
            self.plan,
            self.profiles[host.role],
            self.facts[host.name],
            self.ready.systems.get(host.name),
            lasting=self.keep or not self.prepare,
        )

    def hardware(self) -> HardwareFacts:
        """The director's cards and CPUs after its preparation. Every case undoes what it did, so this is read once."""
        if self._hardware is None:
            self._hardware = gather_hardware(self.lab.director)
        return self._hardware

    def reopen(self) -> None:
        """After a host or a service of it has died: the testbed anew, or the user's hosts rolled back and prepared."""
        self._hardware = None
        if self.ready.fleet is None:
            self.lab.close()
            self.lab = self._open()
            return
        assert self.custody is not None
        self.ready.fleet.reconnect()
        self.custody.take_again()
        self._take_back(self.custody)
        self._prepare(self.lab)

    def _take_back(self, custody: Custody) -> None:
        if left := custody.roll_back(clean=False):
            raise MachineError(_not_given_back(left), todo=f"bmt rollback {self.run_id} --testbed ...")

    def _sysctl_keys(self, role: str) -> list[str]:
        return [key for profile in self.profiles[role].values() if profile for key in profile.sysctl]

    def settle(self) -> None:
        """What was done to the user's hosts is meant to stay."""
        assert self.custody is not None
        self.custody.keep()
        self.kept = True

    def engines(self) -> dict[str, str]:
        """Engine by arm name, as this director can drive it."""
        director = self.facts[self.lab.director.name]
        return {name: engine_of(arm, director) for name, arm in self.plan.scenario.arms.items()}

    def shares(self, load: Load) -> list[int] | None:
        """Connections of each client, by what it can hold; None where all are alike."""
        means = list(self.ready.means.values())
        return share(load.concurrency, means[: load.clients(len(means))]) if means else None

    def arm_changes(self, arm: Arm, engine: str) -> dict[str, list[Change]]:
        """Changes by host that put an arm in place, beyond what the hosts are prepared with. Web hosts come first."""
        director = self.lab.director
        found = arm_changes(
            arm,
            engine,
            director=director,
            facts=self.facts,
            webs=self.lab.role("web"),
            network=self.plan.testbed.network,
            system=self.ready.systems.get(director.name),
        )
        there = {
            name: {change.what for change in (*changes, *self._tuned(name)[0])}
            for name, changes in self.changes.items()
        }
        names = sorted(found, key=lambda name: name == director.name)
        return {name: [it for it in found[name] if it.what not in there[name]] for name in names}

    def _tuned(self, name: str) -> Wishes:
        """What the tuning in force is on a host, where cases differ in it."""
        return self.tunings.get(name, {}).get(self.tuning, ([], []))

    def sound(self) -> bool:
        """Whether every host can still be entered, no web host's nginx has gone, and no change of tuning broke off."""
        if any(self.tuning not in tunings for tunings in self.tunings.values()):
            return False

        def check(host: Host) -> bool:
            test = "kill -0 $(cat /run/nginx.pid)" if host.role == "web" else "true"
            try:
                return host.run(["sh", "-c", test], check=False).rc == 0
            except (BmtError, TimeoutError, OSError):
                return False

        return all(each(self.lab.hosts.values(), check).values())

    def close(self) -> None:
        """Take the testbed down. The user's hosts are rolled back first, unless kept; `left` says what could not be."""
        self._leave(self.lab)

    def _leave(self, lab: Bed) -> None:
        try:
            if self.custody is not None and not (self.keep and self.kept):
                self.left = self.custody.roll_back()
        finally:
            if self.custody is not None:
                self.custody.release()
            lab.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _without(changes: list[Change], skipped: list[NotApplied], refused: list[NotApplied]) -> list[Change]:
    """`changes` without those that were refused, which go to `skipped`."""
    skipped += refused
    gone = {item.key for item in refused}
    return [change for change in changes if change.what not in gone]


def _not_given_back(left: dict[str, str]) -> str:
    """
    >>> print(_not_given_back({"web01": "the SSH connection broke"}))
    these hosts could not be rolled back:
        web01: the SSH connection broke
    """
    return "these hosts could not be rolled back:\n" + "\n".join(f"    {name}: {why}" for name, why in left.items())
