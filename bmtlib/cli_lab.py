"""The verbs of `bmt lab`: a lab that is kept to look around in."""

from __future__ import annotations

import click

from bmtlib.cli_options import SET, TESTBED, Verbs, scenario_names


@click.group(cls=Verbs)
def lab() -> None:
    """Keep a lab of network namespaces for exploration.

    \b
    Examples:
      bmt lab up quick --arm l2dsr
      bmt lab shell client01
      bmt lab down
    """


@lab.command("up")
@click.argument("scenario", default="quick", shell_complete=lambda c, p, i: scenario_names(i))
@TESTBED
@SET
@click.option("--arm", default="l2dsr", show_default=True, help="Arm of the scenario that the director shall serve.")
def lab_up(scenario: str, testbed: str, settings: tuple[str, ...], arm: str) -> None:
    """Bring up the hosts of a scenario with one arm in place, and keep them until `bmt lab down`.

    \b
    Example:
      bmt lab up quick --arm proxy
    """
    from bmtlib import lab as kept
    from bmtlib.run import load

    state = kept.up(load(scenario, testbed, settings), arm)
    click.echo(f"{len(state.names)} hosts are up; arm {arm}; the service is {state.url}")
    click.echo(f"try:  bmt lab shell client01   then   curl -sI {state.url}\nend:  bmt lab down")


@lab.command("shell")
@click.argument("host", shell_complete=lambda c, p, i: _hosts(i))
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def lab_shell(host: str, command: tuple[str, ...]) -> None:
    """Enter a host of the lab, or run one command there.

    \b
    Examples:
      bmt lab shell web01
      bmt lab shell director -- nft list ruleset
    """
    from bmtlib import lab as kept

    kept.shell(host, list(command))


@lab.command("down")
def lab_down() -> None:
    """Take the lab down.

    \b
    Example:
      bmt lab down
    """
    from bmtlib import lab as kept

    click.echo(f"the lab of {kept.down()} hosts is down")


def _hosts(incomplete: str) -> list[str]:
    from bmtlib import lab as kept

    return [name for name in kept.host_names() if name.startswith(incomplete)]
