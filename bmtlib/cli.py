"""The verbs of `bmt`. Each is thin: read the options, call the library, say what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import click

from bmtlib import __version__
from bmtlib.cli_fleet import BREAK_LOCK, apply, rollback, verify
from bmtlib.errors import BmtError, InputError, MachineError

# Imports of the library stand inside the verbs: `bmt --help` and completion must not load pandas.

_SET = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one value, e.g. load.concurrency=400 or testbed.placement.director_cpus=1. Repeatable.",
)
_TESTBED = click.option(
    "--testbed",
    default="netns",
    show_default=True,
    help="Name in params/testbeds, or a file; auto: the one with the best LVS that this machine can have now.",
)


class _Verbs(click.Group):
    """Lists verbs in the order of use and turns our errors into one message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BmtError as error:
            click.echo(f"bmt: {error}", err=True)
            ctx.exit(error.exit_code)
        except BrokenPipeError:
            sys.stderr.close()
            ctx.exit(1)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]}, epilog="Start here: ./bmt run quick")
@click.version_option(__version__, prog_name="bmt")
def main() -> None:
    """Measure what Direct Server Return (LVS) buys over a proxy (HAProxy), for your traffic, on your hosts.

    \b
    Exit codes: 0 done; 1 a case failed or was rejected; 2 bad input; 3 this machine cannot do it.
    `./bmt --no-install VERB` installs nothing: it checks, and names the commands to type.
    Completion:  eval "$(_BMT_COMPLETE=bash_source bmt)"   (or zsh_source, fish_source)
    """


@main.command()
@click.argument(
    "scenarios", nargs=-1, required=True, metavar="SCENARIO...", shell_complete=lambda c, p, i: _scenarios(i)
)
@_TESTBED
@_SET
@click.option(
    "--out", type=click.Path(file_okay=False), help="Folder in which the run folder is made.  [default: data]"
)
@click.option("--report/--no-report", default=True, help="Build report.html after the run.")
@click.option(
    "--keep", is_flag=True, help="Hosts of your own stay as prepared; without, they are rolled back at the end."
)
@BREAK_LOCK
def run(
    scenarios: tuple[str, ...],
    testbed: str,
    settings: tuple[str, ...],
    out: str | None,
    report: bool,
    keep: bool,
    break_lock: bool,
) -> None:
    """Measure scenarios and write their reports.

    The last line on standard output is the run folder's path. Progress goes to standard error.

    \b
    Examples:
      bmt run quick
      bmt run quick --set load.concurrency=400 --set repetitions=5
      bmt run quick --testbed vm
      bmt run file-size --out /tmp/runs
      bmt run quick --testbed my-rack.yml
    """
    from bmtlib.batch import run_scenario
    from bmtlib.run import load

    loaded = [load(scenario, testbed, settings) for scenario in scenarios]
    codes = [run_scenario(item, out=out, report=report, keep=keep, break_lock=break_lock) for item in loaded]
    sys.exit(max(codes))


@main.command()
@click.argument("scenario", shell_complete=lambda c, p, i: _scenarios(i))
@_TESTBED
@_SET
@click.option("--json", "as_json", is_flag=True, help="Print cases and changes as JSON.")
def plan(scenario: str, testbed: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Show what a run would do: its cases, in order, and the changes on each host. Changes nothing.

    \b
    Examples:
      bmt plan quick
      bmt plan file-size --set repetitions=3 --json
    """
    from bmtlib.measure.preview import preview
    from bmtlib.measure.ready import check
    from bmtlib.run import load
    from bmtlib.show import show_plan

    loaded = load(scenario, testbed, settings)
    steps = preview(loaded.plan, check(loaded.plan))
    if as_json:
        changes = [vars(step) for step in steps]
        click.echo(json.dumps({**json.loads(loaded.plan.to_json()), "changes": changes}, indent=1))
    else:
        show_plan(loaded.plan, steps)


for verb in (apply, verify, rollback):
    main.add_command(verb)


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path())
def report(runs: tuple[str, ...]) -> None:
    """Build report.html from a run folder; nothing is measured. Prints the report's path.

    \b
    Examples:
      bmt report data/demo
      bmt report data/*-quick-*
    """
    from bmtlib.report import build_report

    for path in runs:
        click.echo(build_report(Path(path)))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> None:
    """Say what this machine can do, and for each "no" what to do about it.

    \b
    Examples:
      bmt doctor
      bmt doctor --json
    """
    from bmtlib.doctor import examine
    from bmtlib.show import show_checks

    checks = examine()
    if as_json:
        click.echo(json.dumps([vars(check) for check in checks], indent=1))
    else:
        show_checks(checks)


@main.group(cls=_Verbs)
def lab() -> None:
    """Keep a lab of network namespaces for exploration.

    \b
    Examples:
      bmt lab up quick --arm l2dsr
      bmt lab shell client01
      bmt lab down
    """


@lab.command("up")
@click.argument("scenario", default="quick", shell_complete=lambda c, p, i: _scenarios(i))
@_TESTBED
@_SET
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


@main.command()
@click.argument("run", type=click.Path())
@click.option(
    "--to", type=click.Path(file_okay=False), default="export", show_default=True, help="Folder to write into."
)
@click.option("--format", "fmt", type=click.Choice(["csv", "parquet", "json"]), default="csv", show_default=True)
def export(run: str, to: str, fmt: Literal["csv", "parquet", "json"]) -> None:
    """Write a run's tidy tables as CSV, Parquet or JSON. data/README.md explains each column.

    \b
    Example:
      bmt export data/demo --to /tmp/demo --format csv
    """
    from bmtlib.analysis.export import export_tables
    from bmtlib.rundir import RunDir

    for path in export_tables(RunDir.open(run), Path(to), fmt):
        click.echo(path)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def jupyter(arguments: tuple[str, ...]) -> None:
    """Open JupyterLab on the notebooks. Further arguments are JupyterLab's.

    \b
    Examples:
      bmt jupyter
      bmt jupyter --no-browser --port 8890
    """
    from bmtlib.params.paths import project_root

    root = project_root()
    first = root / "notebooks" / "20-compare-arms.ipynb"
    words = [sys.executable, "-m", "jupyterlab", f"--notebook-dir={root}", str(first), *arguments]
    os.execv(words[0], words)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(arguments: tuple[str, ...]) -> None:
    """Run the project's own tests: lint, types, unit tests, and the lab's where this machine allows.

    \b
    Examples:
      bmt test
      bmt test tests/parsers -k softnet
    """
    from bmtlib.params.paths import project_root

    root = project_root()
    if not (root / "tests").is_dir():
        raise InputError("this is an installed package: its tests are in the project's clone")
    checks = [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]] if not arguments else []
    failed = []
    for words in [*checks, ["pytest", *arguments]]:
        click.echo(f"--- {' '.join(words)}", err=True)
        try:
            code = subprocess.run([sys.executable, "-m", *words], cwd=root, check=False).returncode
        except OSError as error:
            raise MachineError(f"cannot start {words[0]}: {error}", todo="pip install -e '.[dev]'") from error
        failed += [words[0]] if code else []
    if failed:
        click.echo(f"bmt: failed: {', '.join(failed)}", err=True)
        sys.exit(1)


def _scenarios(incomplete: str) -> list[str]:
    from bmtlib.params.paths import project_root

    names = sorted(path.stem for path in (project_root() / "params" / "scenarios").glob("*.yml"))
    return [name for name in names if name.startswith(incomplete)]


def _hosts(incomplete: str) -> list[str]:
    from bmtlib import lab as kept

    return [name for name in kept.host_names() if name.startswith(incomplete)]
