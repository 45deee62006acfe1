"""What `bmt claims` prints: every claim with its verdict and the sentence that it stands on."""

from __future__ import annotations

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bmtlib.analysis.ledger import tally

_STYLES = {"supported": "green", "not supported": "red", "undecided": "yellow"}


def show_claims(ledger: pd.DataFrame) -> None:
    """Rows of `df_ledger`: claims of scenario and study one by one, the rows of the study's table counted."""
    console = Console()
    table = Table(header_style="bold", show_lines=True)
    for column in ("verdict", "claim", "figures, and why", "would decide it"):
        table.add_column(column, overflow="fold")
    for _, row in ledger[ledger["of"] != "table"].iterrows():
        verdict = Text(row["verdict"], style=_STYLES.get(row["verdict"], "dim"))
        table.add_row(verdict, *(Text(row[name]) for name in ("claim", "evidence", "decide")))
    console.print(table)
    rows = ledger[ledger["of"] == "table"]
    console.print(Text(f"The {len(rows)} rows of the study's table: {tally(rows['verdict'])}."))
