"""Guards on the machines: CPU time of those that serve the test, stolen time, clocks, heat.

A machine is asked once, on the host that speaks for it (in a lab all hosts share one).
"""

from __future__ import annotations

from dataclasses import replace

from bmtlib.errors import ParseError
from bmtlib.measure.guards.guard import Guard, Verdict, graded
from bmtlib.measure.guards.seen import Seen
from bmtlib.measure.outcome import Window
from bmtlib.parsers import shell_times

CPU_FULL_MARK = 0.90  # a CPU that is busy for longer has nothing left to give: the ticks of /proc/stat see no finer
# Below, a stolen tick is the hypervisor's own housekeeping; above the second, the rate is that of the neighbours.
STEAL_MARK = 0.01
STEAL_REJECT = 0.20
# NTP slews by at most 500 ppm (adjtimex(2)): that is 20 ms in 40 s, and no rate changes by more than 0.05 %.
CLOCK_MARK_S = 0.020
CLOCK_REJECT_SHARE = 0.05  # of the window: rates and waits are wrong by as much
THROTTLED_MARK = 0  # each time a CPU was throttled it ran slower for a while: costs in CPU time rise

_ROLES = {"client": "clients", "web": "web hosts", "director": "director"}


def machine_guards(seen: Seen, kind: str, window: Window | None) -> list[Guard]:
    """`kind` of the arm: `direct` shows what clients and web hosts can do, so their full CPUs spoil nothing of it."""
    found = [_steal(seen, window), _clock(seen, window), _thermal(seen)]
    if window is None:
        return found
    limits = [_cpu(seen, window), _load_cpu(seen, window)]
    return [*(replace(guard, spoils=()) if kind == "direct" else guard for guard in limits), *found]


def roles_on(seen: Seen, host: str) -> str:
    """Whose machine it is, in words, the director left out: its CPUs are told apart."""
    machine = seen.machines[host]
    roles = dict.fromkeys(seen.roles[name] for name in seen.hosts("client", "web") if seen.machines[name] == machine)
    return " and ".join(_ROLES[role] for role in roles)


def _cpu(seen: Seen, window: Window) -> Guard:
    """Clients' and web hosts' CPUs: once full, requests/s are what they can do, and not what the director can.

    But where a CPU of the director's own is full as well, they are what the director can do; only waits hold both.
    """
    found = {
        (host, cpu): busy
        for host in seen.hosts()
        for cpu, (busy, _) in (seen.cpu_shares(host, window.start_epoch_s, window.end_epoch_s) or {}).items()
    }
    own = {at: busy for at, busy in found.items() if at[0] == seen.director and at[1] in seen.director_cpus}
    shares = {at: busy for at, busy in found.items() if at not in own and roles_on(seen, at[0])}
    if not shares:
        return _unknown("cpu", "CPU time of clients and web hosts: not measured, or all CPUs are the director's too")
    (host, cpu), most = max(shares.items(), key=lambda item: item[1])
    verdict: Verdict = "mark" if most > CPU_FULL_MARK else "ok"
    text = f"the busiest CPU of {roles_on(seen, host)} ({cpu} of {host}'s machine) was busy {most:.0%} of the time"
    director = max(own.values(), default=0.0)
    if verdict == "mark" and director > CPU_FULL_MARK:
        text += f", and the director's busiest {director:.0%}: requests/s are what it can do, waits are of both"
    elif verdict == "mark":
        text += ": requests/s may be what they can do, and not what the director can"
    return Guard(
        name="cpu",
        verdict=verdict,
        value=round(most, 4),
        limit=CPU_FULL_MARK,
        text=text,
        evidence=(f"{host}/stat.during.txt cpu{cpu}", f"{host}/stat.before.txt cpu{cpu}"),
        spoils=("waits",) if director > CPU_FULL_MARK else ("requests_per_s", "waits"),
    )


def _load_cpu(seen: Seen, window: Window) -> Guard:
    """A load generator of one thread can use one CPU: when it does, it cannot ask for more."""
    spent: dict[str, float] = {}
    for host in seen.hosts("client"):
        try:
            row = shell_times.parse(seen.files.get(host, {}).get("load.times", b"").decode(errors="replace"))[0]
        except ParseError:
            continue
        spent[host] = (row["user_s"] + row["system_s"]) / window.seconds if window.seconds else 0.0
    if not spent:
        return _unknown("load-cpu", "CPU time of the load generators: not measured")
    host, most = max(spent.items(), key=lambda item: item[1])
    return Guard(
        name="load-cpu",
        verdict="mark" if most > CPU_FULL_MARK else "ok",
        value=round(most, 4),
        limit=CPU_FULL_MARK,
        text=f"the busiest load generator ({host}) used {most:.0%} of one CPU",
        evidence=(f"{host}/load.times",),
        spoils=("requests_per_s", "waits"),
    )


def _steal(seen: Seen, window: Window | None) -> Guard:
    """What a hypervisor takes hits all arms alike, for their cases are interleaved in random order: a little of it
    widens intervals and spoils nothing."""
    start, end = (window.start_epoch_s, window.end_epoch_s) if window is not None else (0.0, 0.0)
    shares: dict[str, float] = {}
    for host in seen.hosts():
        if found := seen.cpu_shares(host, start, end):
            shares[host] = sum(steal for _, steal in found.values()) / len(found)
    if not shares:
        return _unknown("steal", "time that a hypervisor took: not measured")
    host, most = max(shares.items(), key=lambda item: item[1])
    text = f"of the CPU time of {host}'s machine was taken by its hypervisor"
    return graded(
        "steal",
        most,
        STEAL_MARK,
        STEAL_REJECT,
        text,
        (f"{host}/stat.before.txt steal", f"{host}/stat.after.txt steal"),
    )


def _clock(seen: Seen, window: Window | None) -> Guard:
    """By how much the time of day and the time since boot grew apart: a step, or a slew, of the clock in between."""
    off: dict[str, tuple[float, float]] = {}
    for host in seen.hosts():
        if found := seen.around(host, "clock"):
            (before,), (after,) = found
            moved = (after["epoch_s"] - before["epoch_s"]) - (after["uptime_s"] - before["uptime_s"])
            off[host] = (moved, before["uncertainty_s"] + after["uncertainty_s"])
    if not off:
        return _unknown("clock", "whether a clock was stepped: not measured")
    host, (moved, unsure) = max(off.items(), key=lambda item: abs(item[1][0]) - item[1][1])
    least = max(0.0, abs(moved) - unsure)  # what it was moved by in any case
    share = least / window.seconds if window is not None and window.seconds else 0.0
    verdict: Verdict = "reject" if share > CLOCK_REJECT_SHARE else "mark" if least > CLOCK_MARK_S else "ok"
    text = f"the clock of {host} went {moved * 1e3:+.0f} ms (give or take {unsure * 1e3:.0f}) off during the case"
    if verdict != "ok":
        text += ": it was stepped or slewed, and times of the window are wrong by as much"
    return Guard(
        name="clock",
        verdict=verdict,
        value=round(least * 1e3, 3),
        limit=round(
            (CLOCK_MARK_S if verdict != "reject" or window is None else CLOCK_REJECT_SHARE * window.seconds) * 1e3, 3
        ),
        text=text,
        evidence=(f"{host}/clock.before.txt", f"{host}/clock.after.txt"),
        spoils=("requests_per_s", "waits"),
    )


def _thermal(seen: Seen) -> Guard:
    counts: dict[str, int] = {}
    speeds: list[int] = []
    for host in seen.hosts():
        if not (found := seen.around(host, "thermal")):
            continue
        before, after = ({(row["cpu"], row["item"]): row["value"] for row in part} for part in found)
        throttled = [key for key in before.keys() & after.keys() if key[1].endswith("throttle_count")]
        if throttled:
            counts[host] = sum(after[key] - before[key] for key in throttled)
        speeds += [value for part in (before, after) for key, value in part.items() if key[1] == "scaling_cur_freq"]
    speed = f"; CPUs ran at {min(speeds) / 1e6:.1f} to {max(speeds) / 1e6:.1f} GHz before and after" if speeds else ""
    if not counts:
        return _unknown("thermal", f"throttling for heat: not measured (no machine has thermal_throttle){speed}")
    host, most = max(counts.items(), key=lambda item: item[1])
    return Guard(
        name="thermal",
        verdict="mark" if most > THROTTLED_MARK else "ok",
        value=most,
        limit=THROTTLED_MARK,
        text=f"the CPUs of {host}'s machine were throttled {most} times{speed}",
        evidence=(f"{host}/thermal.before.txt throttle_count", f"{host}/thermal.after.txt throttle_count"),
        spoils=("requests_per_s", "waits", "director_cpu_us"),
    )


def _unknown(name: str, text: str) -> Guard:
    return Guard(name=name, verdict="ok", value=None, limit=None, text=text)
