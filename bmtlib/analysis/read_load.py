"""Cases, their guards, and what the load generators measured."""

from __future__ import annotations

from typing import Any

from bmtlib.analysis.raw import Raw
from bmtlib.errors import InputError
from bmtlib.params.factors import DIRECTOR_FACTORS
from bmtlib.parsers import ab

Row = dict[str, Any]

# Columns that the clients table takes from ab's report as they are.
_FROM_AB = (
    "rate_per_s",
    "wait_mean_ms",
    "gap_mean_ms",
    "received_bytes",
    "html_bytes",
    "failed_connect",
    "failed_receive",
    "failed_length",
    "failed_exceptions",
    "non_2xx",
    "write_errors",
    "connect_mean_ms",
    "processing_mean_ms",
    "waiting_mean_ms",
    "total_max_ms",
)


_FROM_RECORD = ("arm", "kind", "engine", "block", "index", "threads", *DIRECTOR_FACTORS, "tuning", "status")


def read_records(raw: Raw) -> dict[str, Row]:
    """case.json by case, in the plan's order; a planned case without one has the status "not run" or "not needed"."""
    records: dict[str, Row] = {}
    tried = set(raw.run.case_ids())
    stopped_after = (raw.run.run_json().get("stopping") or {}).get("stopped_after")
    for planned in raw.run.read_json("plan.json")["cases"]:
        case_id = planned["id"]
        spared = stopped_after is not None and planned["block"] > stopped_after
        record = {**planned, "status": "not needed" if spared else "not run"}
        if case_id in tried:
            try:
                record = raw.run.case(case_id)
            except InputError as error:
                raw.problem(case_id, None, "case.json", error)
                record["status"] = "unreadable"
        record["settings"] = planned.get("settings", {})
        record["threads"] = planned.get("settings", {}).get("threads")
        record |= {factor: planned.get(factor) for factor in (*DIRECTOR_FACTORS, "tuning")}
        records[case_id] = record
    return records


def case_rows(records: dict[str, Row]) -> list[Row]:
    rows = []
    for case_id, record in records.items():
        load, requests = record.get("load") or {}, record.get("requests") or {}
        error, window_s = record.get("error") or {}, record.get("window_s")
        rows.append(
            {
                **{key: record.get(key) for key in _FROM_RECORD},
                **{key: record.get(key) for key in ("start_epoch_s", "end_epoch_s", "window_s")},
                **{key: record.get(key) for key in ("skew_ms", "skew_p99_ms", "late_ms")},
                **{key: requests.get(key) for key in ("sent", "completed", "failed", "cut_off", "opened")},
                "case": case_id,
                "error": error.get("what"),
                "file_size_bytes": load.get("file_size"),
                "concurrency": load.get("concurrency"),
                "load_engine": load.get("engine"),
                "loop": _loop(load),
                "offered_per_s": load.get("rate"),
                **{key: _sum(record, key) for key in ("planned", "unsent")},
                "keepalive": load.get("keepalive"),
                "load_requests": load.get("requests"),
                "load_s": load.get("seconds"),
                "requests_per_s": (requests.get("completed") or 0) / window_s if window_s else None,
            }
        )
    return rows


def _loop(load: Row) -> str | None:
    """Whether clients wait for an answer before they ask again; None of a case without a load."""
    return None if not load else "open" if load.get("engine") == "open_loop" else "closed"


def _sum(record: Row, key: str) -> int | None:
    """Over all clients; None unless all of them say it."""
    values = [client.get(key) for client in record.get("clients") or []]
    return None if not values or None in values else sum(values)


def guard_rows(records: dict[str, Row]) -> list[Row]:
    return [
        {
            **guard,
            "case": case_id,
            "evidence": "; ".join(guard.get("evidence") or []) or None,
            "spoils": " ".join(guard.get("spoils") or []) or None,
        }
        for case_id, record in records.items()
        for guard in record.get("guards") or []
    ]


def client_rows(raw: Raw, records: dict[str, Row]) -> list[Row]:
    """One row per case and client. ab's own figures only of an ab that finished: the others have no such report."""
    rows = []
    for case_id, record in records.items():
        for client in record.get("clients") or []:
            row = {**client, "case": case_id, "duration_s": client.get("seconds")}
            done_by_ab = client["status"] == "done" and (record.get("load") or {}).get("engine", "ab") == "ab"
            if done_by_ab and (found := raw.parsed(case_id, client["host"], "ab.txt", ab.parse)):
                report: Any = found[0]
                row |= {key: report[key] for key in _FROM_AB}
            rows.append(row)
    return rows


def knee_rows(raw: Raw) -> list[Row]:
    """What the search made of each case (knee.json); none where nothing was searched."""
    if not (raw.run.path / "knee.json").exists():
        return []
    try:
        return [{**tried, "why": "; ".join(tried["why"])} for tried in raw.run.read_json("knee.json")["tries"]]
    except (InputError, KeyError, TypeError) as error:
        raw.problem(None, None, "knee.json", error)
        return []
