"""The tidy tables of a run: which columns each has, and of which type. One row is one observation.

Names end in their unit; what has none is a count or a name. Every table but `problems` names its case in `case`.
The meaning of each table stands in `tables.Tables`; data/README.md is the dictionary for readers of exported files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

_TEXT, _COUNT, _MAYBE, _REAL, _FLAG = "string", "int64", "Int64", "float64", "boolean"

# What a scenario may vary, and the column that holds its level.
FACTOR_COLUMNS = {
    "file_size": "file_size_bytes",
    "concurrency": "concurrency",
    "keepalive": "keepalive",
    "threads": "threads",
    "queues": "queues",
    "lever": "lever",
}

COLUMNS: dict[str, dict[str, str]] = {
    "cases": {
        "case": _TEXT,
        "arm": _TEXT,
        "kind": _TEXT,
        "engine": _TEXT,
        "block": _COUNT,
        "index": _COUNT,
        "file_size_bytes": _MAYBE,
        "concurrency": _MAYBE,
        "keepalive": _FLAG,
        "threads": _MAYBE,
        "queues": _MAYBE,
        "lever": _TEXT,
        "status": _TEXT,
        "error": _TEXT,
        "load_requests": _MAYBE,
        "load_s": _REAL,
        "start_epoch_s": _REAL,
        "end_epoch_s": _REAL,
        "window_s": _REAL,
        "skew_ms": _REAL,
        "sent": _MAYBE,
        "completed": _MAYBE,
        "failed": _MAYBE,
        "cut_off": _MAYBE,
        "opened": _MAYBE,
        "requests_per_s": _REAL,
    },
    "guards": {
        "case": _TEXT,
        "name": _TEXT,
        "verdict": _TEXT,
        "value": _REAL,
        "limit": _REAL,
        "text": _TEXT,
        "evidence": _TEXT,
    },
    "clients": {
        "case": _TEXT,
        "host": _TEXT,
        "url": _TEXT,
        "status": _TEXT,
        "rc": _MAYBE,
        "concurrency": _MAYBE,
        "start_epoch_s": _REAL,
        "duration_s": _REAL,
        "completed": _MAYBE,
        "failed": _MAYBE,
        "opened": _MAYBE,
        "rate_per_s": _REAL,
        "wait_mean_ms": _REAL,
        "gap_mean_ms": _REAL,
        "received_bytes": _MAYBE,
        "html_bytes": _MAYBE,
        "failed_connect": _MAYBE,
        "failed_receive": _MAYBE,
        "failed_length": _MAYBE,
        "failed_exceptions": _MAYBE,
        "non_2xx": _MAYBE,
        "write_errors": _MAYBE,
        "connect_mean_ms": _REAL,
        "processing_mean_ms": _REAL,
        "waiting_mean_ms": _REAL,
        "total_max_ms": _REAL,
    },
    "waits": {"case": _TEXT, "wait_ms": _COUNT, "requests": _COUNT},
    "cpu": {"case": _TEXT, "host": _TEXT, "cpu": _COUNT, "role": _TEXT, "cpu_kind": _TEXT, "cpu_s": _REAL},
    "cpu_time": {
        "case": _TEXT,
        "host": _TEXT,
        "time_s": _REAL,
        "span_s": _REAL,
        "cpu": _COUNT,
        "role": _TEXT,
        "cpu_kind": _TEXT,
        "cpu_s": _REAL,
    },
    "softirq": {"case": _TEXT, "host": _TEXT, "softirq": _TEXT, "cpu": _COUNT, "role": _TEXT, "count": _COUNT},
    "softirq_time": {
        "case": _TEXT,
        "host": _TEXT,
        "time_s": _REAL,
        "span_s": _REAL,
        "softirq": _TEXT,
        "cpu": _COUNT,
        "role": _TEXT,
        "count": _COUNT,
    },
    "irq": {
        "case": _TEXT,
        "host": _TEXT,
        "irq": _TEXT,
        "description": _TEXT,
        "cpu": _COUNT,
        "role": _TEXT,
        "count": _COUNT,
    },
    "irq_time": {
        "case": _TEXT,
        "host": _TEXT,
        "time_s": _REAL,
        "span_s": _REAL,
        "irq": _TEXT,
        "description": _TEXT,
        "cpu": _COUNT,
        "role": _TEXT,
        "count": _COUNT,
    },
    "softnet": {
        "case": _TEXT,
        "host": _TEXT,
        "cpu": _COUNT,
        "role": _TEXT,
        "processed": _COUNT,
        "dropped": _COUNT,
        "squeezed": _COUNT,
        "received_rps": _COUNT,
        "flow_limit": _COUNT,
    },
    "ipvs_cpu": {
        "case": _TEXT,
        "host": _TEXT,
        "cpu": _COUNT,
        "role": _TEXT,
        "connections": _COUNT,
        "in_packets": _COUNT,
        "out_packets": _COUNT,
        "in_bytes": _COUNT,
        "out_bytes": _COUNT,
    },
    "network": {
        "case": _TEXT,
        "host": _TEXT,
        "role": _TEXT,
        "interface": _TEXT,
        "rx_bytes": _COUNT,
        "tx_bytes": _COUNT,
        "rx_packets": _COUNT,
        "tx_packets": _COUNT,
        "rx_dropped": _COUNT,
        "tx_dropped": _COUNT,
        "rx_errors": _COUNT,
        "tx_errors": _COUNT,
    },
    "counters": {
        "case": _TEXT,
        "host": _TEXT,
        "role": _TEXT,
        "source": _TEXT,
        "interface": _TEXT,
        "counter": _TEXT,
        "count": _COUNT,
    },
    "probed": {"case": _TEXT, "role": _TEXT, "source": _TEXT, "hosts": _COUNT},
    "web_share": {"case": _TEXT, "host": _TEXT, "connections": _COUNT, "source": _TEXT},
    "listen": {
        "case": _TEXT,
        "host": _TEXT,
        "role": _TEXT,
        "address": _TEXT,
        "port": _COUNT,
        "accept_queue_most": _COUNT,
        "accept_queue_max": _COUNT,
        "samples": _COUNT,
    },
    "conntrack": {
        "case": _TEXT,
        "host": _TEXT,
        "role": _TEXT,
        "entries_before": _COUNT,
        "entries_after": _COUNT,
        "entries_max": _COUNT,
    },
    "engine": {"case": _TEXT, "source": _TEXT, "item": _TEXT, "counter": _TEXT, "count": _COUNT},
    "knee": {
        "case": _TEXT,
        "level": _COUNT,
        "percent": _MAYBE,
        "kept": "bool",
        "why": _TEXT,
        "wait_p50_ms": _REAL,
        "wait_p99_ms": _REAL,
        "failed_share": _REAL,
        "sent_share": _REAL,
    },
    "problems": {"case": _TEXT, "host": _TEXT, "file": _TEXT, "error": _TEXT},
}


def frame(table: str, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as the table `table`: its columns in its order and types, also when there is no row.

    >>> frame("waits", [{"case": "b1-proxy", "wait_ms": 3, "requests": 10}]).to_dict("records")
    [{'case': 'b1-proxy', 'wait_ms': 3, 'requests': 10}]
    """
    found = list(rows)
    columns = COLUMNS[table].items()
    return pd.DataFrame({name: pd.Series([row.get(name) for row in found], dtype=kind) for name, kind in columns})
