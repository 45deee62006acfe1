"""Guards on the director alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bmtlib.measure.guards.guard import Guard, Verdict
from bmtlib.parsers import stat

FOREIGN_SHARE_MARK = 0.10  # of the director's CPU time, spent while nobody asked it

_CPU_TIME = (
    "user_ticks",
    "nice_ticks",
    "system_ticks",
    "idle_ticks",
    "iowait_ticks",
    "irq_ticks",
    "softirq_ticks",
    "steal_ticks",
)


def director_idle(files: Mapping[str, bytes], cpus: Collection[int]) -> Guard | None:
    """In arm `direct` nobody asks the director: what its CPUs do meanwhile is foreign work, in the other arms too.

    `files` are the director's of the case; None when its `stat` probe, or one of `cpus`, is missing.
    """
    idle, total = 0, 0
    try:
        before, after = (
            {row["cpu"]: row for row in stat.parse(files[f"stat.{moment}.txt"].decode(errors="replace"))}
            for moment in ("before", "after")
        )
        for cpu in cpus:
            spent = {field: after[cpu][field] - before[cpu][field] for field in _CPU_TIME}  # type: ignore[literal-required]
            idle += spent["idle_ticks"] + spent["iowait_ticks"]
            total += sum(spent.values())
    except KeyError:
        return None
    share = 1 - idle / total if total else 0.0
    verdict: Verdict = "mark" if share > FOREIGN_SHARE_MARK else "ok"
    text = f"the director's CPUs were busy {share:.0%} of the time without a request for it"
    return Guard(
        name="director-idle",
        verdict=verdict,
        value=round(share, 4),
        limit=FOREIGN_SHARE_MARK,
        text=text,
        evidence=tuple(
            f"director/stat.{moment}.txt cpu{cpu}" for moment in ("before", "after") for cpu in sorted(cpus)
        ),
    )


def vcpus(virtual: Collection[int], real: Collection[int]) -> list[Guard]:
    """Virtual CPUs that take turns on fewer real ones: a guest counts as busy the time in which it waits for its turn.

    >>> vcpus({0, 1}, {3})[0].text
    '2 virtual CPUs share 1 real: CPU time in the guest includes waiting for each other'
    """
    verdict: Verdict = "mark" if len(virtual) > len(real) else "ok"
    text = f"{len(virtual)} virtual CPUs share {len(real)} real: CPU time in the guest includes waiting for each other"
    if verdict == "ok":
        text = f"{len(virtual)} virtual CPUs on {len(real)} real"
    evidence = ("run.json machine.cpus", "run.json machine.vcpus")
    return [Guard(name="vcpus", verdict=verdict, value=len(virtual), limit=len(real), text=text, evidence=evidence)]
