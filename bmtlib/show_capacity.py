"""What `bmt capacity` prints: one line per arm, and what the figures are worth."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

_COLUMNS = (
    "arm",
    "directors",
    "95 % interval",
    "limited by",
    "one carries, requests/s",
    "by CPU",
    "link in",
    "link out",
)


def show_capacity(rows: pd.DataFrame) -> None:
    """Rows of `df_capacity` for one demand."""
    console, first = Console(), rows.iloc[0]
    asked = (
        f"{first['requests_per_s']:,.0f} requests/s of {first['kib']:g} KiB; links of {first['gbit_per_s']:g} Gbit/s; "
        f"directors of {first['cpus']} CPU(s); {first['use']:.0%} of both in use"
    )
    table = Table(title=Text(asked), title_justify="left", header_style="bold")
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")
    for _, row in rows.iterrows():
        table.add_row(*(Text(cell) for cell in _cells(row)))
    console.print(table)
    links = rows["web_links"].max()
    if pd.notna(links):
        console.print(Text(f"The answers fill the links of {links} web host(s), whatever the arm."))
    beyond = [text for text in rows["extrapolated"].unique() if text]
    if beyond:
        console.print(Text(f"EXTRAPOLATED beyond what was measured ({'; '.join(beyond)}): a guess, no measurement."))
    console.print(Text(f"{first['fidelity'].capitalize()}."))


def _cells(row: Any) -> list[str]:
    levels = [
        f"{name} {row[name]}" for name in ("concurrency", "threads", "queues", "lever") if pd.notna(row.get(name))
    ]
    arm = ", ".join([f"{row['arm']} ({row['engine']})", *levels])
    if row["why"]:
        return [arm, "unknown", "", row["why"], ""]
    low, high = row["directors_low"], row["directors_high"]
    spread = "none: fewer than 3 blocks" if pd.isna(low) else f"{low} to {'unknown' if pd.isna(high) else high}"
    return [arm, str(row["directors"]), spread, row["limit"], f"{row['per_director_per_s']:,.0f}/s"]
