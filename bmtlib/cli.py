"""The verbs of `bmt`. Each is thin: read the options, call the library, say what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
from click.core import ParameterSource

from bmtlib import __version__
from bmtlib.cli_claims import claims
from bmtlib.cli_fleet import apply, lint, rollback, verify
from bmtlib.cli_lab import lab
from bmtlib.cli_options import BREAK_LOCK, LANGUAGE, SET, TESTBED, Verbs, scenario_names
from bmtlib.cli_report import archive, capacity, export, report, rerun, site
from bmtlib.errors import InputError, MachineError


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]}, epilog="Start here: ./bmt run quick")
@click.version_option(__version__, prog_name="bmt")
def main() -> None:
    """Measure what Direct Server Return (LVS) buys over a proxy (HAProxy), for your traffic, on your hosts.

    \b
    Exit codes: 0 done; 1 a case failed or was rejected; 2 bad input; 3 this machine cannot do it.
    `./bmt --no-install VERB` installs nothing: it checks, and names the commands to type.
    Completion:  eval "$(_BMT_COMPLETE=bash_source bmt)"   (or zsh_source, fish_source)
    """


@main.command()
@click.argument("scenarios", nargs=-1, metavar="SCENARIO...", shell_complete=lambda c, p, i: scenario_names(i))
@TESTBED
@SET
@click.option(
    "--resume",
    "resumed",
    type=click.Path(file_okay=False),
    metavar="RUN",
    help="Do what is missing in this run folder, of a run that was broken off; without SCENARIO.",
)
@click.option(
    "--out", type=click.Path(file_okay=False), help="Folder in which the run folder is made.  [default: data]"
)
@click.option("--report/--no-report", default=True, help="Build report.html after the run.")
@LANGUAGE
@click.option(
    "--keep", is_flag=True, help="Hosts of your own stay as prepared; without, they are rolled back at the end."
)
@BREAK_LOCK
@click.pass_context
def run(
    context: click.Context,
    scenarios: tuple[str, ...],
    testbed: str,
    settings: tuple[str, ...],
    resumed: str | None,
    out: str | None,
    report: bool,
    languages: tuple[str, ...],
    keep: bool,
    break_lock: bool,
) -> None:
    """Measure scenarios and write their reports.

    The last line on standard output is the run folder's path. Progress goes to standard error. Of several scenarios
    each has a process of its own; one that fails does not keep the next from running, and the exit code is the worst.

    \b
    Examples:
      bmt run quick
      bmt run quick file-size
      bmt run --resume data/20261123T024151Z-quick-334811
      bmt run quick --set load.concurrency=400 --set repetitions=5
      bmt run quick --testbed vm
      bmt run file-size --out /tmp/runs
      bmt run quick --testbed my-rack.yml
    """
    from bmtlib.batch import resume_run, run_each, run_scenario
    from bmtlib.run import load

    given = context.get_parameter_source
    if resumed is not None:
        asked = any(given(name) == ParameterSource.COMMANDLINE for name in ("testbed", "settings"))
        if out is not None or len(scenarios) > 1 or (asked and not scenarios):
            raise InputError(
                "a run is gone on with as it was planned, where it lies",
                where="--resume",
                todo="leave out the other words; with one SCENARIO they are compared with those of the run",
            )
        loaded = load(scenarios[0], testbed, settings) if scenarios else None
        sys.exit(resume_run(resumed, loaded, report=report, languages=languages, keep=keep, break_lock=break_lock))
    if not scenarios:
        raise InputError("which scenario?", todo=f"one or more of {', '.join(scenario_names(''))}; or --resume RUN")
    plans = [load(scenario, testbed, settings) for scenario in scenarios]  # a typing error ends it all at once
    if len(plans) == 1:
        sys.exit(run_scenario(plans[0], out=out, report=report, languages=languages, keep=keep, break_lock=break_lock))
    words = ["--testbed", testbed, *(word for text in settings for word in ("--set", text))]
    words += [word for name in languages for word in ("--language", name)]
    words += ["--out", out] if out is not None else []
    words += [
        flag for flag, wish in (("--no-report", not report), ("--keep", keep), ("--break-lock", break_lock)) if wish
    ]
    sys.exit(run_each([(scenario, ["run", scenario, *words]) for scenario in scenarios]))


@main.command()
@click.argument("scenario", shell_complete=lambda c, p, i: scenario_names(i))
@TESTBED
@SET
@click.option(
    "--out", type=click.Path(file_okay=False), help="Folder in which the run folder is made.  [default: data]"
)
@click.option("--report/--no-report", default=True, help="Build report.html after the search.")
@LANGUAGE
@click.option("--keep", is_flag=True, help="Hosts of your own stay as prepared.")
@BREAK_LOCK
def knee(
    scenario: str,
    testbed: str,
    settings: tuple[str, ...],
    out: str | None,
    report: bool,
    languages: tuple[str, ...],
    keep: bool,
    break_lock: bool,
) -> None:
    """Search up to which load each arm keeps an objective, and measure waits below that.

    The scenario's `knee` says what is raised (rate or concurrency), between which levels, and the objective. Both arms
    are tried in turns, on the same director. The result is a run folder; the last line is its path. A search that was
    broken off cannot be gone on with.

    \b
    Examples:
      bmt knee knee
      bmt knee knee --set knee.objective.wait_p99_ms=20 --set load.file_size='64 KiB'
      bmt knee my-question.yml --out /tmp/runs
    """
    from bmtlib.batch import run_scenario
    from bmtlib.run import load

    loaded = load(scenario, testbed, settings, search=True)
    wishes = {"report": report, "keep": keep, "break_lock": break_lock}
    sys.exit(run_scenario(loaded, out=out, languages=languages, **wishes))


@main.command()
@click.argument("scenario", shell_complete=lambda c, p, i: scenario_names(i))
@TESTBED
@SET
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


for verb in (apply, verify, rollback, lint, lab, report, rerun, claims, capacity, export, archive, site):
    main.add_command(verb)


@main.command()
@click.option("--testbed", help="Hosts of your own: name in params/testbeds, or a file. Left out: this machine.")
@SET
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(testbed: str | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Say what this machine, or each host of a testbed, can do; and for each "no" what to do about it.

    \b
    Examples:
      bmt doctor
      bmt doctor --json
      bmt doctor --testbed my-rack.yml
    """
    if testbed is not None:
        from bmtlib.cli_fleet import examine_hosts

        sys.exit(examine_hosts(testbed, settings, as_json=as_json))
    from bmtlib.doctor import examine
    from bmtlib.show import show_checks

    checks = examine()
    if as_json:
        click.echo(json.dumps([vars(check) for check in checks], indent=1))
    else:
        show_checks(checks)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def jupyter(arguments: tuple[str, ...]) -> None:
    """Open JupyterLab at the start page: each question with its notebook, and what the demo answers.

    Further arguments are JupyterLab's.

    \b
    Examples:
      bmt jupyter
      bmt jupyter --no-browser --port 8890
    """
    from bmtlib.params.paths import project_root

    root = project_root()
    # Settings of this project alone: those of the user are read after them, and stay where they are.
    settings = Path(__file__).parent / "templates" / "jupyterlab"
    words = [sys.executable, "-m", "jupyterlab", f"--notebook-dir={root}", f"--LabApp.app_settings_dir={settings}"]
    words += ["--LabApp.default_url=/lab/tree/notebooks/README.md", *arguments]
    os.execv(words[0], words)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(arguments: tuple[str, ...]) -> None:
    """Run the project's own tests: lint, types, unit tests, and the lab's where this machine allows.

    All but those that build HAProxy from source (-m build), which want compilers and a distribution's sources.

    \b
    Examples:
      bmt test
      bmt test -m build
      bmt test tests/parsers -k softnet
    """
    from bmtlib.params.paths import project_root

    root = project_root()
    if not (root / "tests").is_dir():
        raise InputError("this is an installed package: its tests are in the project's clone")
    checks = [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]] if not arguments else []
    failed = []
    for words in [*checks, ["pytest", *(arguments or ("-m", "not build"))]]:
        click.echo(f"--- {' '.join(words)}", err=True)
        try:
            code = subprocess.run([sys.executable, "-m", *words], cwd=root, check=False).returncode
        except OSError as error:
            raise MachineError(f"cannot start {words[0]}: {error}", todo="pip install -e '.[dev]'") from error
        failed += [words[0]] if code else []
    if failed:
        click.echo(f"bmt: failed: {', '.join(failed)}", err=True)
        sys.exit(1)
