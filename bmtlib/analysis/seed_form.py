"""The seed study's own table: of a run, and as the study printed it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bmtlib.analysis.naming import level
from bmtlib.analysis.schema import FACTOR_COLUMNS
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import df_trials, done, keys, once
from bmtlib.params.factors import DIRECTOR_FACTORS
from bmtlib.params.paths import project_root
from bmtlib.params.units import size_text


@once
def df_seed_form(tables: Tables) -> pd.DataFrame:
    """The seed study's table, one row per arm and levels, medians over blocks.

    Arm (with its lever, queues and tuning), Thread (missing where there is no such setting), Concurrency, Total
    Requests (of one case), File Size, Requests (sec), Latency (ms): the seed's figure, 1 / rate. Wait (ms): what a
    client waited, which Latency is not. Served at once, In listen queue: the effective concurrency at a proxy
    (`df_at_director`).
    """
    there = df_at_director(tables).set_index("case")
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
                **{
                    words: round(found) if (found := there[column].reindex(group["case"]).median()) == found else None
                    for words, column in (("Served at once", "served"), ("In listen queue", "waiting"))
                },
            }
        )
    return _seed_frame(rows)


@once
def df_at_director(tables: Tables) -> pd.DataFrame:
    """What of a case's concurrency reached a proxy: one row per done case of kind proxy that was sampled.

    case; established: the director's connections to clients and web hosts; waiting, waiting_most: of these, in the
    listen queue, up to waiting_max; served: accepted ones, (established - waiting) / 2, since each has a second one to
    a web host. Medians over the samples of the load's first half, when no client has ended yet. The rest of the
    concurrency waits at the clients for its SYN to be answered.
    """
    cases = done(tables)
    windows = cases[cases["kind"] == "proxy"].set_index("case")["window_s"]
    samples = tables.director_sockets[tables.director_sockets["case"].isin(windows.index)]
    samples = samples[samples["time_s"] <= samples["case"].map(windows).astype("float64") / 2]
    served = (samples["established"] - samples["waiting"]).clip(lower=0) / 2
    groups = samples.assign(served=served).groupby("case", sort=False)
    found = groups[["established", "waiting", "waiting_max", "served"]].median()
    found.insert(2, "waiting_most", groups["waiting"].max())
    return found.astype("float64").reset_index()


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
        "Served at once": "Int64",
        "In listen queue": "Int64",
    }
    return pd.DataFrame(rows, columns=list(types)).astype(types)
