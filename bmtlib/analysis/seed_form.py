"""The seed study's own table: of a run, and as the study printed it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bmtlib.analysis.naming import level
from bmtlib.analysis.schema import FACTOR_COLUMNS
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import df_trials, keys, once
from bmtlib.params.factors import DIRECTOR_FACTORS
from bmtlib.params.paths import project_root
from bmtlib.params.units import size_text


@once
def df_seed_form(tables: Tables) -> pd.DataFrame:
    """The seed study's table, one row per arm and levels, medians over blocks.

    Arm (with its lever, queues and tuning), Thread (missing where there is no such setting), Concurrency, Total
    Requests (of one case), File Size, Requests (sec), Latency (ms): the seed's figure, 1 / rate. Wait (ms): what a
    client waited, which Latency is not.
    """
    trials = df_trials(tables).drop(columns=["threads", "file_size_bytes"], errors="ignore")
    trials = trials.merge(tables.cases[["case", "threads", "file_size_bytes"]], on="case")
    rows, own = [], [name for name in (*DIRECTOR_FACTORS, "tuning") if FACTOR_COLUMNS[name] in tables.factors]
    for _, group in trials.groupby(keys(tables), dropna=False, sort=False):
        rate, first = group["requests_per_s"].median(), group.iloc[0]
        rows.append(
            {
                "Arm": ", ".join([first["arm"], *(level(name, first[name]) for name in own if pd.notna(first[name]))]),
                "Thread": first["threads"],
                "Concurrency": first["concurrency"],
                "Total Requests": round(float((group["completed"] + group["failed"]).median())),
                "File Size": size_text(int(first["file_size_bytes"])),
                "Requests (sec)": round(rate, 2),
                "Latency (ms)": round(1000 / rate, 3) if rate else np.nan,
                "Wait (ms)": round(group["wait_mean_ms"].median(), 1),
            }
        )
    return _seed_frame(rows)


def read_seed() -> pd.DataFrame:
    """data/reference/seed-2022.csv as it stands."""
    return pd.read_csv(project_root() / "data" / "reference" / "seed-2022.csv")


def df_seed_reference() -> pd.DataFrame:
    """What the seed study printed (data/reference/seed-2022.csv), in the form of `df_seed_form`.

    Wait (ms) is not theirs: it follows from their concurrency and rate by Little's law (wait = concurrency / rate).
    """
    seed = read_seed()
    rows = [
        {
            "Arm": row.arm,
            "Thread": row.threads,
            "Concurrency": row.concurrency,
            "Total Requests": row.total_requests,
            "File Size": size_text(int(str(row.file_bytes))),
            "Requests (sec)": row.requests_per_s,
            "Latency (ms)": row.latency_ms,
            "Wait (ms)": round(1000 * float(str(row.concurrency)) / float(str(row.requests_per_s)), 1),
        }
        for row in seed.itertuples()
    ]
    return _seed_frame(rows)


def _seed_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    types = {
        "Arm": "string",
        "Thread": "Int64",
        "Concurrency": "Int64",
        "Total Requests": "Int64",
        "File Size": "string",
        "Requests (sec)": "float64",
        "Latency (ms)": "float64",
        "Wait (ms)": "float64",
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)
