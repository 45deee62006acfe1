"""Which CPU of the director was interrupted by what, second by second, and which CPU had the packets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bmtlib.analysis.costs import by_second
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import once, records, summarised, with_keys

_RARE = 0.03  # of the interrupts of the most frequent one: below, it is not what the load did


def irq_label(name: str, description: str) -> str:
    """An interrupt as people know it: its device, or what its name stands for.

    >>> irq_label("42", "PCI-MSIX-0000:00:04.0 2-edge virtio3-tx"), irq_label("LOC", "Local timer interrupts")
    ('virtio3-tx', 'local timer')
    """
    if name.isdigit():
        return description.split()[-1]
    return description.removesuffix(" interrupts").lower() or name


@once
def df_irq_over_time(tables: Tables) -> pd.DataFrame:
    """Interrupts of devices on each of the director's CPUs, second by second while the load ran, mean over blocks.

    irq, description: as in the table irq; cpu; time_s: middle of the second, from the start of the load; per_s
    None in a lab of namespaces: it has no NIC.
    """
    device = tables.irq_time["irq"].str.isdigit().astype("bool")
    mine = tables.irq_time[device & (tables.irq_time["role"] == "director")]
    totals = mine.groupby("irq")["count"].sum()
    seconds = by_second(tables, mine[mine["irq"].isin(totals.index[totals > _RARE * totals.max()])], "count")

    def rows(group: pd.DataFrame) -> list[dict[str, Any]]:
        names = ["irq", "description", "cpu", "time_s"]
        sums = group.groupby(names, as_index=False, sort=False)[["count", "span_s"]].sum()
        # A second of which less than half was sampled would show chance as change.
        sums = sums[sums["span_s"] >= 0.5 * group["case"].nunique()]
        return records(sums.assign(per_s=sums["count"] / sums["span_s"]))

    types = {"irq": "string", "description": "string", "cpu": "int64", "time_s": "float64", "per_s": "float64"}
    return summarised(tables, with_keys(tables, seconds), rows, types)


@once
def df_packets_by_cpu(tables: Tables) -> pd.DataFrame:
    """Packets that each of the director's CPUs had, over all blocks, from before the load to after it.

    counted_by: ipvs (LVS's own counters), or softnet (all that the CPU received); cpu; packets; share: of those of all
    the director's CPUs; per_request: right answers
    """
    mine = [
        table[table["role"] == "director"].assign(counted_by=source, packets=table[column])
        for source, table, column in (("ipvs", tables.ipvs_cpu, "in_packets"), ("softnet", tables.softnet, "processed"))
    ]
    columns = ["case", "counted_by", "cpu", "packets"]
    both = with_keys(tables, pd.concat([part[columns] for part in mine]))

    def rows(group: pd.DataFrame) -> list[dict[str, Any]]:
        requests = float(group.drop_duplicates("case")["completed"].sum())
        sums = group.groupby(["counted_by", "cpu"], as_index=False)["packets"].sum()
        whole = sums.groupby("counted_by")["packets"].transform("sum").astype("float64").replace(0.0, np.nan)
        per_request = sums["packets"] / requests if requests else np.nan
        return records(sums.assign(share=sums["packets"] / whole, per_request=per_request))

    types = {"counted_by": "string", "cpu": "int64", "packets": "int64", "share": "float64", "per_request": "float64"}
    return summarised(tables, both, rows, types)
