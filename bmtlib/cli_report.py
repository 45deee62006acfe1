"""The verbs of `bmt` on run folders: reports, and what is handed on to others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import click

from bmtlib.cli_options import BREAK_LOCK, LANGUAGE, SET
from bmtlib.errors import InputError


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path())
@click.option("--each", is_flag=True, help="Of several runs build each one's own report; nothing is compared.")
@click.option(
    "--despite",
    metavar="WORD,...",
    help="Compare though these differ: scenario, load, testbed, engine, kernel, cpu, nic, versions, settings.",
)
@click.option("--anyway", is_flag=True, help="Compare whatever differs.")
@LANGUAGE
@click.option("--pdf", is_flag=True, help="Print it into a PDF beside it, too. Needs Chromium.")
@click.option("--fresh", is_flag=True, help="Build it again, though nothing changed since it was built.")
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    help="Folder for the page alone.  [default: the run folder; of several runs the current folder]",
)
def report(
    runs: tuple[str, ...],
    each: bool,
    despite: str | None,
    anyway: bool,
    languages: tuple[str, ...],
    pdf: bool,
    fresh: bool,
    out: str | None,
) -> None:
    """Build report.html from a run folder, or compare.html that shows several side by side; nothing is measured.

    Prints the page's path. Several runs are compared only where load, testbed, kernels, cards, processors, versions and
    settings are the same, unless told; the page shows what differs.

    \b
    Examples:
      bmt report data/demo --pdf
      bmt report data/demo --language en --language ko
      bmt report /archive/20261123T032909Z-quick-c6add0 --out .
      bmt report data/demo data/my-run --despite kernel,versions
      bmt report --each data/*-quick-*
    """
    from bmtlib.report import build_reports, current_reports, print_page
    from bmtlib.report.compare_runs import build_comparison

    several = len(runs) > 1 and not each
    if not several and (despite is not None or anyway):
        wrong = "--anyway" if anyway else "--despite"
        raise InputError(f"{wrong} is for several runs side by side", todo="name two runs, without --each")
    if each and out is not None and len(runs) > 1:
        raise InputError("reports of several runs have the same name", where="--out", todo="give one RUN")
    if several:
        words = None if anyway else [word.strip() for word in (despite or "").split(",") if word.strip()]
        made = [build_comparison(runs, out or ".", words, languages)]
    else:
        made = []
        for run in runs:
            pages = None if fresh else current_reports(run, languages, out)
            if pages is not None:
                click.echo(f"{run}: nothing changed since its report was built; --fresh builds it again", err=True)
            made.append(pages or build_reports(run, languages, out))
    for page in (page for pages in made for page in pages):
        click.echo(page)
        if pdf:
            click.echo(print_page(page))


@click.command()
@click.argument("page", type=click.Path())
@click.option("--testbed", help="Another testbed than the page's: name in params/testbeds, or a file.")
@SET
@click.option(
    "--out", type=click.Path(file_okay=False), help="Folder in which the run folder is made.  [default: data]"
)
@click.option("--report/--no-report", default=True, help="Build report.html after the run.")
@click.option("--keep", is_flag=True, help="Hosts of your own stay as prepared.")
@click.option("--dry-run", is_flag=True, help="Say what differs, show the cases in order, and measure nothing.")
@BREAK_LOCK
def rerun(
    page: str,
    testbed: str | None,
    settings: tuple[str, ...],
    out: str | None,
    report: bool,
    keep: bool,
    dry_run: bool,
    break_lock: bool,
) -> None:
    """Run the scenario that a report carries again, and say what is not as it was: programs, bmtlib, profiles.

    The page is all that is needed. The last line on standard output is the new run folder's path; `bmt report` compares
    it with the old one.

    \b
    Examples:
      bmt rerun report.html --dry-run
      bmt rerun report.html
      bmt rerun report.html --testbed vm --set repetitions=9
    """
    from bmtlib.rerun import load_again

    loaded, differs = load_again(page, testbed, settings)
    for line in differs or ["nothing differs: plan, profiles, bmtlib and programs are those of the run"]:
        click.echo(line, err=True)
    if dry_run:
        for case in loaded.plan.cases:
            click.echo(case.id)
        return
    from bmtlib.batch import run_scenario

    sys.exit(run_scenario(loaded, out=out, report=report, keep=keep, break_lock=break_lock))


@click.command()
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


@click.command()
@click.argument("run", type=click.Path())
@click.option("--to", type=click.Path(), metavar="FILE.zip", help="The archive.  [default: <name of the run>.zip]")
@click.option("--license", "license_name", default="", help="Who may use it: an SPDX identifier, or an address.")
@click.option("--unfinished", is_flag=True, help="Also a run that has not ended, as it is now.")
def archive(run: str, to: str | None, license_name: str, unfinished: bool) -> None:
    """Pack a run folder into one zip file, with a SHA-256 of every file and a description for machines (RO-Crate).

    The same folder gives the same bytes. Prints the archive's path.

    \b
    Examples:
      bmt archive data/demo --license CC-BY-4.0
      unzip demo.zip && cd demo && sha256sum -c SHA256SUMS
    """
    from bmtlib.report.archive import archive as pack
    from bmtlib.rundir import RunDir

    click.echo(pack(RunDir.open(run), to, unfinished=unfinished, license_name=license_name))


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path())
@click.option("--to", type=click.Path(file_okay=False), required=True, metavar="DIR", help="Folder of the site.")
@click.option("--title", default="", help="Heading of the index.")
@click.option("--url", default="", help="Where the site will be: for the links in its feed.")
@click.option("--archives", is_flag=True, help="Each run also as a zip of all its raw files.")
def site(runs: tuple[str, ...], to: str, title: str, url: str, archives: bool) -> None:
    """Put reports of one or many runs into a folder for any static web host: an index, a feed, and their raw files.

    Run again it brings the folder up to date; what it did not make it leaves alone. Prints the index's path.

    \b
    Examples:
      bmt site data/demo --to public
      bmt site $(dirname data/*/run.json) --to public --url https://example.org/benchmarks/ --archives
    """
    from bmtlib.report.site import build_site
    from bmtlib.rundir import RunDir

    opened = [RunDir.open(run) for run in runs]
    click.echo(build_site(opened, to, title=title, address=url, archives=archives))


@click.command()
@click.argument("run", type=click.Path())
@click.option("--rps", type=float, required=True, help="Requests/s that the site has to carry.")
@click.option("--kib", type=float, required=True, help="Size of an answer, in KiB.")
@click.option("--gbit", type=float, required=True, help="Speed of each host's link, in Gbit/s.")
@click.option("--use", type=float, default=1.0, show_default=True, help="Share of CPUs and links that may be in use.")
@click.option("--cpus", type=int, help="CPUs of a director.  [default: as many as were measured]")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
def capacity(run: str, rps: float, kib: float, gbit: float, use: float, cpus: int | None, as_json: bool) -> None:
    """Say how many directors a demand takes by each arm, and what limits them. Needs a run over three file sizes.

    \b
    Examples:
      bmt run file-size
      bmt capacity data/*-file-size-* --rps 50000 --kib 20 --gbit 10
      bmt capacity data/my-run --rps 50000 --kib 20 --gbit 10 --use 0.7 --json
    """
    from bmtlib.analysis.capacity import Demand, capacity_of
    from bmtlib.rundir import RunDir
    from bmtlib.show_capacity import show_capacity

    demand = Demand(requests_per_s=rps, kib=kib, gbit_per_s=gbit, use=use, cpus=cpus)
    rows = capacity_of(RunDir.open(run), demand)
    if as_json:
        click.echo(rows.to_json(orient="records", indent=1, force_ascii=False))
    else:
        show_capacity(rows)
