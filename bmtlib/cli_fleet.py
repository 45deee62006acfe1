"""The verbs of `bmt` for hosts of one's own, and for the profiles that tune them. As in cli.py each is thin."""

from __future__ import annotations

import sys

import click

from bmtlib.cli_options import BREAK_LOCK, SET, scenario_names

_FLEET = click.option("--testbed", required=True, help="Name in params/testbeds, or a file; its kind is ssh.")


@click.command()
@click.argument("scenario", shell_complete=lambda c, p, i: scenario_names(i))
@_FLEET
@SET
@click.option("--arm", help="Put this arm in place, too: the director then serves it.")
@BREAK_LOCK
def apply(scenario: str, testbed: str, settings: tuple[str, ...], arm: str | None, break_lock: bool) -> None:
    """Prepare hosts of your own for a scenario, and leave them so: packages, tuning, VIP, nginx. All of it or nothing.

    What is to be done is what `bmt plan` shows. A second call does nothing. `bmt rollback` takes it back.

    \b
    Examples:
      bmt apply quick --testbed my-rack.yml
      bmt apply quick --testbed my-rack.yml --arm proxy --set tuning=seed
    """
    from bmtlib import fleet
    from bmtlib.run import load
    from bmtlib.show import show_applied

    loaded = load(scenario, testbed, settings)
    applied = fleet.apply(loaded, arm=arm, take_over="any" if break_lock else "", tell=_tell)
    show_applied(applied, testbed)


@click.command()
@_FLEET
@SET
def verify(testbed: str, settings: tuple[str, ...]) -> None:
    """Say what has drifted: which changes that were made on your hosts are not in force any more. Changes nothing.

    \b
    Example:
      bmt verify --testbed my-rack.yml
    """
    from bmtlib import fleet
    from bmtlib.params.load_yaml import load_testbed
    from bmtlib.show import show_drift

    found = fleet.verify_all(load_testbed(testbed, settings), tell=_tell)
    show_drift(found)
    if any(isinstance(it, BaseException) for it in found.values()):
        sys.exit(3)
    sys.exit(1 if any(it[1] for it in found.values() if isinstance(it, tuple)) else 0)


@click.command()
@click.argument("run", required=False)
@click.option("--all", "everything", is_flag=True, help="Every run that has changed these hosts.")
@click.option("--testbed", help="Name in params/testbeds, or a file. Left out: the one in the run's folder.")
@SET
@BREAK_LOCK
def rollback(
    run: str | None, everything: bool, testbed: str | None, settings: tuple[str, ...], break_lock: bool
) -> None:
    """Undo what a run, or every run, has done to your hosts: from their own journals, the last change first.

    It needs no controller that made the changes, nor its files: any that reaches the hosts will do. Hosts that cannot
    be reached are named; call it again when they are back. RUN is a run's folder, or its name.

    \b
    Examples:
      bmt rollback data/20261122T191530Z-quick-3fa9c1
      bmt rollback --all --testbed my-rack.yml
    """
    from bmtlib import fleet
    from bmtlib.show import show_rolled

    bed, run_id = fleet.rollback_of(run, everything=everything, testbed=testbed, settings=settings)
    found = fleet.rollback_all(bed, run_id, take_over="any" if break_lock else "", tell=_tell)
    show_rolled(found)
    left = [name for name, it in found.items() if isinstance(it, BaseException) or it.left]
    if left:
        click.echo(f"bmt: not rolled back: {', '.join(left)}; call again when they are back", err=True)
        sys.exit(3)


def _profiles(incomplete: str) -> list[str]:
    from bmtlib.params.load_yaml import names, profile_sets

    return [name for name in [*profile_sets(), *names("profiles")] if name.startswith(incomplete)]


@click.command()
@click.argument("profile", shell_complete=lambda c, p, i: _profiles(i))
@click.option(
    "--kernel", metavar="VERSION", help="Such as 4.18 (EL8), 5.14 (EL9), 6.1 (Debian 12).  [default: this machine's]"
)
@click.option("--namespace", is_flag=True, help="Judge for hosts that are network namespaces, as in a lab.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def lint(profile: str, kernel: str | None, namespace: bool, as_json: bool) -> None:
    """Judge each setting of a profile, or of a set: absent, inert, lower than the default, harmful, global.

    Exit code 1 when there is one that is neither ok nor unknown.

    \b
    Examples:
      bmt lint seed --kernel 4.18
      bmt lint params/profiles/recommended-web.yml --namespace --json
    """
    from bmtlib.show_lint import lint_profile

    sys.exit(lint_profile(profile, kernel=kernel, namespace=namespace, as_json=as_json))


def examine_hosts(testbed: str, settings: tuple[str, ...], *, as_json: bool) -> int:
    """`bmt doctor --testbed`: a table host by host; the exit code."""
    from bmtlib.fleet_doctor import examine_fleet
    from bmtlib.hosts.secret import sudo_password
    from bmtlib.params.load_yaml import load_testbed
    from bmtlib.show_fleet import show_fleet, to_json

    reports = examine_fleet(load_testbed(testbed, settings), secret=sudo_password, tell=_tell)
    if as_json:
        click.echo(to_json(reports))
    else:
        show_fleet(reports)
    return 0 if all(report.serves for report in reports) else 3


def _tell(text: str) -> None:
    click.echo(text, err=True)
