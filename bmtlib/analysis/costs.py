"""What an arm costs the director: CPU time and bytes per request, and what its CPUs did meanwhile.

CPU time is the kernel's own account (/proc/stat), in steps of 10 ms. Without CONFIG_IRQ_TIME_ACCOUNTING the kernel
books each tick on what ran when it came: the sum is right over seconds, the split into kinds is a sample.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import BUSY_KINDS, df_trials, done, once, records, summarised, with_keys
from bmtlib.stats import estimate

_IDLE_KINDS = ("idle", "iowait")


def separable(tables: Tables) -> bool:
    """Whether the busy time of the director's CPUs is the director's: own CPUs, and packets processed on them."""
    placement = tables.run.get("placement") or {}
    return bool(placement.get("separate")) and bool(placement.get("rps", True))


@once
def df_director_cpu(tables: Tables) -> pd.DataFrame:
    """CPU time of the director's CPUs per right answer, by kind, over all blocks together (so the kinds add up).

    user_us, system_us, softirq_us, irq_us; total_us: their sum; low_us, high_us: 95 % interval over blocks; n: blocks
    steal_us: time that the hypervisor took, no cost of the arm; busy_share: of the CPUs' time while the load ran
    separable: False when other hosts share these CPUs: then this is not the director's cost alone
    """
    director = tables.cpu[tables.cpu["role"] == "director"]
    kinds = ("user", "system", "softirq", "irq", "steal")
    trials = df_trials(tables)
    busy = df_cpu_busy(tables)

    def row(group: pd.DataFrame) -> dict[str, Any]:
        requests = float(group.drop_duplicates("case")["completed"].sum())
        spent = group.groupby("cpu_kind")["cpu_s"].sum() * 1e6 / requests if requests else pd.Series(dtype="float64")
        values: dict[str, Any] = {f"{kind}_us": spent.get(kind) for kind in kinds}
        blocks = estimate(trials.loc[trials["case"].isin(group["case"]), "director_cpu_us"].to_numpy())
        values["total_us"] = sum(spent[kind] for kind in BUSY_KINDS) if requests else None
        return {**values, "low_us": blocks.low, "high_us": blocks.high, "n": blocks.n, "separable": separable(tables)}

    figures = [*(f"{kind}_us" for kind in kinds), "total_us", "low_us", "high_us"]
    types = {**dict.fromkeys(figures, "float64"), "n": "int64", "separable": "bool"}
    found = summarised(tables, with_keys(tables, director), row, types)
    shares = busy.loc[busy["role"] == "director"].drop(columns=["role", "busiest_share"])
    return found.merge(shares, how="left")


@once
def df_cpu_busy(tables: Tables) -> pd.DataFrame:
    """How busy the CPUs were while the load ran, by arm, levels and role (director; other: clients and web hosts here).

    busy_share: mean of the role's CPUs, 0 to 1; busiest_share: of its busiest one. Stolen time counts as busy: the CPU
    could not do more. From the samples within the window, against the time between them: idle CPUs' ticks can add up to
    more than that. Where there is no sample, from before to after, against the sum of the ticks.
    """
    samples = tables.cpu_time.merge(done(tables)[["case", "window_s"]], on="case")
    inside = samples[(samples["time_s"] - samples["span_s"] >= 0) & (samples["time_s"] <= samples["window_s"])]
    columns = ["case", "host", "role", "cpu", "cpu_kind", "cpu_s", "span_s"]
    rest = tables.cpu[~tables.cpu["case"].isin(inside["case"])]
    rest = rest.assign(span_s=rest.groupby(["case", "host", "cpu"])["cpu_s"].transform("sum"))
    spent = with_keys(tables, pd.concat([inside[columns], rest[columns]]))

    def rows(group: pd.DataFrame) -> list[dict[str, Any]]:
        found = []
        for role, part in group.groupby("role"):
            busy = part[~part["cpu_kind"].isin(_IDLE_KINDS)].groupby(["host", "cpu"])["cpu_s"].sum()
            span = part[part["cpu_kind"] == "idle"].groupby(["host", "cpu"])["span_s"].sum()
            if span.sum() > 0:
                each = (busy / span).clip(upper=1)
                found.append({"role": role, "busy_share": each.mean(), "busiest_share": each.max()})
        return found

    return summarised(tables, spent, rows, {"role": "string", "busy_share": "float64", "busiest_share": "float64"})


@once
def df_director_bytes(tables: Tables) -> pd.DataFrame:
    """Bytes through the director's interfaces per right answer (Ethernet headers included), over all blocks.

    in_bytes, out_bytes; client_bytes: received by the clients; out_per_client_byte: out / client: near 0 when answers
    pass the director by (the proof of DSR), 1 or more when they go through it.
    """
    sums = ["director_in_bytes", "director_out_bytes", "client_bytes"]

    def row(group: pd.DataFrame) -> dict[str, Any]:
        weight = group["completed"].astype("float64")
        into, out, client = ((group[name] * weight).sum(min_count=1) / weight.sum() for name in sums)
        return {
            "in_bytes": into,
            "out_bytes": out,
            "client_bytes": client,
            "out_per_client_byte": out / client if client else None,
            "n": group["director_in_bytes"].notna().sum(),
        }

    figures = ("in_bytes", "out_bytes", "client_bytes", "out_per_client_byte")
    return summarised(tables, df_trials(tables), row, {**dict.fromkeys(figures, "float64"), "n": "int64"})


@once
def df_web_share(tables: Tables) -> pd.DataFrame:
    """How the connections were spread over the web hosts, over all blocks.

    host; connections: taken by it; share: of those of all web hosts; min_share, max_share: in the single blocks
    fair_share: 1 / web hosts; source: who counted
    """

    def rows(group: pd.DataFrame) -> list[dict[str, Any]]:
        counts = group.groupby("host", as_index=False)["connections"].sum()
        total = float(counts["connections"].sum())
        of_case = group["connections"] / group.groupby("case")["connections"].transform("sum").replace(0, np.nan)
        each = of_case.groupby(group["host"])
        return records(
            counts.assign(
                share=counts["connections"] / total if total else np.nan,
                min_share=counts["host"].map(each.min()),
                max_share=counts["host"].map(each.max()),
                fair_share=1 / len(counts),
                source=", ".join(sorted(group["source"].unique())),
            )
        )

    shares = dict.fromkeys(("share", "min_share", "max_share", "fair_share"), "float64")
    types = {"host": "string", "connections": "int64", **shares, "source": "string"}
    return summarised(tables, with_keys(tables, tables.web_share), rows, types)


@once
def df_cpu_over_time(tables: Tables) -> pd.DataFrame:
    """What each CPU did, second by second while the load ran, mean over blocks.

    cpu, role; time_s: middle of the second, from the start of the load; cpu_kind; share: of the CPU's time, 0 to 1.
    What was sampled between two instants is taken as even between them.
    """
    spent = by_second(tables, tables.cpu_time, "cpu_s")

    def rows(group: pd.DataFrame) -> list[dict[str, Any]]:
        sums = group.groupby(["cpu", "role", "time_s", "cpu_kind"], as_index=False)[["cpu_s", "span_s"]].sum()
        # A second of which less than half was sampled would show chance as change.
        sums = sums[sums["span_s"] >= 0.5 * group["case"].nunique()]
        return records(sums.assign(share=sums["cpu_s"] / sums["span_s"]))

    types = {"cpu": "int64", "role": "string", "time_s": "float64", "cpu_kind": "string", "share": "float64"}
    return summarised(tables, with_keys(tables, spent), rows, types)


def by_second(tables: Tables, samples: pd.DataFrame, column: str) -> pd.DataFrame:
    """Samples within the load, cut at whole seconds: time_s becomes the middle of the second, span_s and `column` the
    part that lies within it."""
    begin, end = samples["time_s"] - samples["span_s"], samples["time_s"]
    first = np.floor(begin)
    longest = int((np.floor(end) - first).max()) if len(samples) else 0
    parts = []
    for second in (first + step for step in range(longest + 1)):
        inside = (np.minimum(end, second + 1) - np.maximum(begin, second)).clip(lower=0)
        value = samples[column] * inside / samples["span_s"]
        parts.append(samples.assign(time_s=second + 0.5, span_s=inside).assign(**{column: value})[inside > 0])
    cut = pd.concat(parts) if parts else samples
    windows = done(tables).set_index("case")["window_s"]
    return cut[(cut["time_s"] > 0) & (cut["time_s"] < cut["case"].map(windows).astype("float64"))]


@once
def df_irq_softirq(tables: Tables) -> pd.DataFrame:
    """Interrupts and softirqs on each CPU per right answer, over all blocks, from before the load to after it.

    source: irq or softirq; name: the softirq's, or the interrupt's number or name; description: of the interrupt
    cpu, role; per_request
    """
    softirq = tables.softirq.rename(columns={"softirq": "name"}).assign(source="softirq", description="")
    irq = tables.irq.rename(columns={"irq": "name"}).assign(source="irq")
    columns = ["case", "source", "name", "description", "cpu", "role", "count"]
    both = with_keys(tables, pd.concat([softirq[columns], irq[columns]]))
    requests = done(tables).set_index("case")["completed"]

    def rows(group: pd.DataFrame) -> list[dict[str, Any]]:
        total = float(requests[group["case"].unique()].sum())
        sums = group.groupby(["source", "name", "description", "cpu", "role"], as_index=False, sort=False)[
            "count"
        ].sum()
        return records(sums.assign(per_request=sums["count"] / total if total else np.nan))

    types = {
        **dict.fromkeys(("source", "name", "description"), "string"),
        "cpu": "int64",
        "role": "string",
        "per_request": "float64",
    }
    return summarised(tables, both, rows, types)
