"""Everything that can be known before a run, found out before anything is made or changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bmtlib import doctor
from bmtlib.errors import MachineError
from bmtlib.hosts.host import Host, each
from bmtlib.hosts.secret import sudo_password
from bmtlib.measure import client_means
from bmtlib.measure.capacity import ClientMeans, share
from bmtlib.measure.limits import check_limits
from bmtlib.measure.load import program_of
from bmtlib.params.load_yaml import load_profile_set
from bmtlib.plan import Plan
from bmtlib.programs import path_of, programs
from bmtlib.setup import system
from bmtlib.setup.system import System
from bmtlib.testbeds.bring_up import vcpus_of
from bmtlib.testbeds.kernel import find_kernel
from bmtlib.testbeds.placement import Placement, place
from bmtlib.testbeds.segment import check_segment
from bmtlib.testbeds.ssh import Fleet, open_fleet
from bmtlib.testbeds.vm import GUEST_NOFILE, choose_accelerator

Tell = Callable[[str], None]
_ENOUGH = 10**9
_SMALLEST_AB = 20_000  # largest -c of Apache Bench before 2.4; newer ones have 200,000
_DEFAULT_PORTS = 60_999 - 32_768 + 1  # net.ipv4.ip_local_port_range of every kernel since 3.2


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What `check` found out for a plan. `fleet`: the user's own hosts, connected; None where hosts are made.

    `systems` and `means` by host name: what the hosts of a fleet are, and what its clients can do.
    """

    placement: Placement
    rootless: bool = False
    vcpus: int | None = None  # of a virtual director
    fleet: Fleet | None = None
    systems: dict[str, System] = field(default_factory=dict)
    means: dict[str, ClientMeans] = field(default_factory=dict)

    @property
    def director_cpus(self) -> frozenset[int]:
        """As the director itself numbers them."""
        return self.placement.director if self.vcpus is None else frozenset(range(self.vcpus))

    def close(self) -> None:
        if self.fleet is not None:
            self.fleet.close()


def check(plan: Plan, *, tell: Tell = lambda _: None) -> Ready:
    """Everything that can be known before a run: programs, rights, limits. Raises MachineError or InputError.

    `tell` gets a line before each step that takes seconds.
    """
    if plan.testbed.kind == "ssh":
        return _check_fleet(plan, tell)
    missing = doctor.missing_programs("vm" if plan.testbed.kind == "vm" else "all")
    if (engine := program_of(plan.scenario.load.engine)) not in missing and path_of(engine) is None:
        missing.append(engine)
    if missing:
        raise MachineError(f"programs are missing: {', '.join(missing)}", todo=doctor.install_command(missing))
    wish = plan.testbed.privilege
    rootless = (doctor.lab_privilege() if wish == "auto" else wish) == "rootless"
    placement = place(plan.testbed.placement.director_cpus, at_least=plan.scenario.director_cpus)
    vcpus = vcpus_of(plan.testbed, placement, plan.scenario.director_cpus)
    ready = Ready(placement=placement, rootless=rootless, vcpus=vcpus)
    check_limits(
        plan,
        director_cpus=ready.director_cpus,
        director_nofile=doctor.nofile_limit() if vcpus is None else GUEST_NOFILE,
        nofile=doctor.nofile_limit(),
        ab_concurrency=doctor.ab_concurrency_limit(),
        ports=_client_ports(plan),
        max_queues=vcpus if plan.testbed.vm.queues == "auto" else plan.testbed.vm.queues if vcpus else None,
    )
    if plan.testbed.kind == "vm":
        choose_accelerator(plan.testbed.vm, find_kernel(plan.testbed.vm.kernel, tell=tell), tell=tell)
    return ready


def _client_ports(plan: Plan) -> int | None:
    """The fewest local ports that a tuning of the plan gives a client, None when one leaves the kernel's range."""
    fewest = None
    for tuning in plan.scenario.tunings:
        profile = load_profile_set(tuning, "client")
        setting = profile.sysctl.get("net.ipv4.ip_local_port_range") if profile else None
        if setting is None:
            return None
        first, last = str(setting.value).split()
        ports = int(last) - int(first) + 1
        fewest = ports if fewest is None else min(fewest, ports)
    return fewest


def _check_fleet(plan: Plan, tell: Tell) -> Ready:
    """Reach all hosts, and see that they can do it. Nothing is changed there."""
    tell(f"reaching {plan.scenario.webs + plan.scenario.clients + 1} hosts over SSH")
    webs, clients = plan.scenario.webs, plan.scenario.clients
    fleet = open_fleet(plan.testbed, webs=webs, clients=clients, secret=sudo_password, tell=tell)
    try:
        return _ready(plan, fleet)
    except BaseException:
        fleet.close()
        raise


def _ready(plan: Plan, fleet: Fleet) -> Ready:
    hosts = fleet.hosts.values()
    systems = each(hosts, _look)
    if strange := {name: why for name, found in systems.items() if (why := system.unsupported(found))}:
        lines = "\n    ".join(f"{name}: {why}" for name, why in strange.items())
        raise MachineError(
            f"hosts that bmtlib cannot set up:\n    {lines}", todo="Rocky, Alma or RHEL 8-9, Debian 12, Ubuntu 24.04"
        )
    check_segment(fleet, str(plan.testbed.network.vip), kinds={arm.kind for arm in plan.scenario.arms.values()})
    _check_engine(fleet.role("client"), plan)
    means = each(fleet.role("client"), lambda host: _means(host, systems[host.name], plan))
    ready = Ready(placement=fleet.placement, fleet=fleet, systems=systems, means=means)
    for load in {case.load.concurrency: case.load for case in plan.cases}.values():
        share(load.concurrency, list(means.values())[: load.clients(len(means))])
    check_limits(
        plan,
        director_cpus=ready.director_cpus,
        director_nofile=systems[fleet.director.name].service_nofile,
        # What clients can hold differs from one to the other: `share` has asked each.
        nofile=_ENOUGH,
        ab_concurrency=_ENOUGH,
        ports=_ENOUGH,
        max_queues=fleet.queues,
    )
    return ready


def look_again(plan: Plan, ready: Ready) -> Ready:
    """What the hosts of a fleet are now: after a rollback they are not what they were found as."""
    assert ready.fleet is not None
    systems = each(ready.fleet.hosts.values(), _look)
    means = each(ready.fleet.role("client"), lambda host: _means(host, systems[host.name], plan))
    return replace(ready, systems=systems, means=means)


def _look(host: Host) -> System:
    return system.parse(host.name, host.run(system.PROBE.argv, stdin=system.PROBE.stdin).stdout)


def _check_engine(clients: list[Host], plan: Plan) -> None:
    """A load generator other than ab, which is installed where it is missing, must be on every client."""
    engine = plan.scenario.load.engine
    if engine == "ab":
        return
    program = next(row for row in programs() if row.name == program_of(engine))
    test = f"command -v {program.name}"
    if engine == "open_loop":
        test += ' && python3 -c "import sys; sys.exit(sys.version_info < (3, 6))"'
    has = each(clients, lambda host: host.run(["sh", "-c", test], check=False).rc == 0)
    if lacking := [name for name, there in has.items() if not there]:
        todo = f"there: apt-get install {program.debian} (Debian, Ubuntu), or dnf install {program.rpm} (Rocky, RHEL)"
        raise MachineError(f"the load engine {engine} needs {program.name} on {', '.join(lacking)}", todo=todo)


def _means(host: Host, has: System, plan: Plan) -> ClientMeans:
    ports = _client_ports(plan)
    if "ab" not in has.programs:  # it will be installed: this is the least that a build of it can
        return ClientMeans(
            host=host.name,
            ab_concurrency=_SMALLEST_AB,
            nofile=has.nofile,
            ports=ports or _DEFAULT_PORTS,
            cpus=len(host.cpus),
        )
    look = client_means.PROBE
    means = client_means.parse(host.name, host.run(look.argv, stdin=look.stdin).stdout, ports)
    # The others have no limit of their own.
    return means if plan.scenario.load.engine == "ab" else replace(means, ab_concurrency=_ENOUGH)
