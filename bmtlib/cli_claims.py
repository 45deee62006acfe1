"""The verb `bmt claims`: every claim with its verdict, for a terminal or a program."""

from __future__ import annotations

import click


@click.command()
@click.argument("run", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print all as JSON, the study's table row by row.")
def claims(run: str, as_json: bool) -> None:
    """Say what became of each claim of a run's scenario and of the study, why, and what would decide the open ones.

    \b
    Examples:
      bmt claims data/demo
      bmt claims data/demo --json | jq '.[] | select(.verdict == "supported").claim'
    """
    from bmtlib.analysis.ledger import df_ledger
    from bmtlib.analysis.tables import read_tables
    from bmtlib.rundir import RunDir
    from bmtlib.show_claims import show_claims

    ledger = df_ledger(read_tables(RunDir.open(run)))
    if as_json:
        click.echo(ledger.to_json(orient="records", indent=1, force_ascii=False))
    else:
        show_claims(ledger)
