"""Reports of runs that went well and of runs that did not: what is said, and where."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bmtlib.analysis.plots import FIGURES
from bmtlib.analysis.tables import Tables, read_tables
from bmtlib.errors import BmtError, InputError, MachineError
from bmtlib.params.paths import project_root
from bmtlib.report import build, build_report, claims, conditions, evidence, head, outcome, results, seed
from bmtlib.report.figures import figure
from bmtlib.report.render import Html
from bmtlib.rundir import RunDir

MakeRun = Callable[..., RunDir]

EMPTY = {f"b{block}-{arm}": "empty" for block in (1, 2, 3) for arm in ("direct", "proxy", "l2dsr")}
TUNED = {
    "factors": {"lever": ["free", "tight"]},
    "levers": {"free": {"text": "As it is."}, "tight": {"text": "Less of it.", "steering": {"rps_cpus": "none"}}},
    "claims": [
        {
            "text": "It is <b>more</b>.",
            "metric": "requests_per_s",
            "of": {"arm": "l2dsr", "levels": {"lever": "free"}},
            "over": {"arm": "proxy", "levels": {"lever": "free"}},
            "is": "above",
            "limit": 1,
            "source": "somebody & others",
        },
        {"text": "None lost.", "metric": "drops_nic", "of": {"arm": "proxy"}, "is": "below", "limit": 1},
    ],
}
RUNS = {
    "whole": {},
    "interrupted": {"cases": 4, "status": "interrupted", "case_status": {"b2-direct": "interrupted"}},
    "before the first case": {"cases": 0, "status": "failed"},
    "killed": {"cases": 2, "status": "running"},
    "failed and rejected": {"case_status": {"b1-proxy": "failed", "b2-l2dsr": "rejected"}},
    "one arm": {"arms": ("proxy",)},
    "one block": {"repetitions": 1},
    "two factors": {"factors": {"file_size": ["1 KiB", "64 KiB"], "threads": [1, 2]}},
    "no request": {"case_status": EMPTY},
    "levers and claims": TUNED,
}


def parts(folder: RunDir, tables: Tables) -> list[Html]:
    """Everything that the report shows, without the kernels."""
    made = [
        head.headline(tables),
        head.answer_box(folder, tables),
        head.cannot_show(tables),
        outcome.outcome(folder),
        *(part(folder) for part in (conditions.load, conditions.hosts, conditions.machine, conditions.tuning)),
        evidence.marks(folder, tables),
        *(part(folder) for part in (evidence.proofs, evidence.raw_files, evidence.run_files, evidence.by_hand)),
        *(part(tables) for part in (evidence.guards, evidence.problems, results.throughput, results.ratios)),
        *(part(tables) for part in (results.seed_form, results.waits, results.little, results.director_cpu)),
        *(part(tables) for part in (results.director_bytes, results.web_share, results.drops, results.interrupts)),
        evidence.failed_cases(folder, tables),
        evidence.repeat(folder),
        claims.ledger(folder, tables),
        seed.rows(folder, tables),
    ]
    return [*made, *(figure(tables, name) for name in FIGURES)]


@pytest.mark.parametrize("kind", RUNS)
def test_every_run_has_a_report(make_run: MakeRun, tmp_path: Path, kind: str) -> None:
    folder = make_run(tmp_path / "run", **RUNS[kind])
    made = parts(folder, read_tables(folder))
    assert all(made)
    text = " ".join(part.striptags() for part in made)
    assert "nan" not in text.lower().split()
    assert "<NA>" not in text


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("interrupted", "The run was interrupted"),
        ("interrupted", "Of 9 planned cases 3 are among the results; 1 interrupted, 5 not run."),
        ("before the first case", "The run failed"),
        ("killed", "The run is under way, or its process was killed"),
        ("failed and rejected", "Of 9 planned cases 7 are among the results; 1 failed, 1 rejected."),
    ],
)
def test_banner_says_what_is_missing(make_run: MakeRun, tmp_path: Path, kind: str, words: str) -> None:
    folder = make_run(tmp_path / "run", **RUNS[kind])
    assert words in head.headline(read_tables(folder)).striptags()


def test_whole_run_has_no_banner(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    assert "banner" not in head.headline(read_tables(folder))


def test_failed_cases_are_listed_with_their_reason(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", **RUNS["failed and rejected"], said="ab died")
    listed = evidence.failed_cases(folder, read_tables(folder)).striptags()
    assert "b1-proxy failed ab died" in listed
    assert "b2-l2dsr rejected ab died" in listed


def test_truncated_case_is_told_of_and_the_others_are_reported(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    path = folder.path / "cases" / "b1-proxy" / "case.json"
    path.write_text(path.read_text()[:100])
    tables = read_tables(folder)
    text = " ".join(part.striptags() for part in parts(folder, tables))
    assert "b1-proxy unreadable cases/b1-proxy/case.json cannot be read" in text
    assert "Of 9 planned cases 8 are among the results; 1 unreadable." in text


def test_hostile_text_is_escaped_in_every_part(make_run: MakeRun, tmp_path: Path, hostile: str) -> None:
    folder = make_run(tmp_path / "run", title=hostile, said=hostile, **RUNS["failed and rejected"])
    for part in parts(folder, read_tables(folder)):
        assert "<script" not in part
        assert "<img src=http" not in part


def test_verdicts_stand_at_the_head(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", **TUNED)
    box = head.answer_box(folder, read_tables(folder))
    assert '<p class="sentence">Of the scenario&#39;s 2 claims: 1 supported, 1 undecided.</p>' in box
    assert '<span class="ok">✔\u00a0supported</span> <a href="#claim-1">It is &lt;b&gt;more&lt;/b&gt;.</a>' in box
    assert "Of the scenario" not in head.answer_box(*_plain(make_run, tmp_path))


def test_the_ledger_leads_to_what_proves_it(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", **TUNED)
    shown = claims.ledger(folder, read_tables(folder))
    assert '<span id="claim-1">It is &lt;b&gt;more&lt;/b&gt;.</span>' in shown
    assert "the whole 95 % interval above 1.00. Source: somebody &amp; others.</small>" in shown
    assert '<a href="#figure-throughput">figure</a><br><a href="#t-throughput">table</a>' in shown
    assert '<a href="../cases/b1-l2dsr-lever-free/case.json">b1-l2dsr-lever-free</a>' in shown
    assert '<a href="#t-raw">3 more</a>' in shown
    assert "Not measured with proxy.<br><small>Would decide it: a run in which it is measured.</small>" in shown
    assert 'download="ledger.csv"' in shown


def _plain(make_run: MakeRun, tmp_path: Path) -> tuple[RunDir, Tables]:
    folder = make_run(tmp_path / "plain")
    return folder, read_tables(folder)


def test_what_levers_changed_is_shown_once_for_all_cases(make_run: MakeRun, tmp_path: Path) -> None:
    shown = conditions.settings(make_run(tmp_path / "run", said="a&b", **TUNED))
    assert "proxy, free; " in shown
    assert shown.count("steering eth0") == 1
    assert "file eth0" not in shown
    assert "Not applied on the director in single cases" in shown
    assert "a&amp;b" in shown
    assert conditions.settings(_plain(make_run, tmp_path)[0]) == ""


def test_a_figure_without_data_may_be_left_out(make_run: MakeRun, tmp_path: Path) -> None:
    _, tables = _plain(make_run, tmp_path)
    assert figure(tables, "settings", optional=True) == ""
    assert "No arm was measured with two settings" in figure(tables, "settings")


def test_raw_rate_is_worked_out_from_its_figures(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", arms=("proxy",), repetitions=1)
    assert "35,350 / 5.000 s = 7,070 requests/s" in " ".join(evidence.by_hand(folder).striptags().split())


def test_figures_of_a_foreign_run_stay_with_it(tmp_path: Path) -> None:
    assert build.figures_folder(tmp_path) == tmp_path / "figures"
    assert build.figures_folder(project_root() / "data" / "demo") == project_root() / "figures"


def test_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run folder"):
        build_report(tmp_path)


def test_run_folder_that_cannot_be_written(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    folder.write("notebooks", "a file, where a folder should be")
    with pytest.raises(MachineError, match="cannot write"):
        build_report(folder.path)
    assert not (folder.path / "report.html").exists()


def test_earlier_report_outlives_a_notebook_that_fails(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    folder.write("report.html", "the earlier one")
    folder.write("plan.json", "{}")
    with pytest.raises(BmtError, match=r"\.ipynb failed in cell"):
        build_report(folder.path)
    assert (folder.path / "report.html").read_text() == "the earlier one"


def test_report_links_to_the_notebooks_made_beside_it(report: Path) -> None:
    for name in build.CLOSER:
        assert f'href="notebooks/{name}.ipynb"' in report.read_text()


def test_report_is_made_of_its_run_alone(report: Path, tmp_path: Path) -> None:
    """Elsewhere and later the same bytes: no date, no path, no chance."""
    copy = tmp_path / report.parent.name
    shutil.copytree(report.parent, copy, ignore=shutil.ignore_patterns("report.html", "notebooks", "figures"))
    assert build_report(copy).read_bytes() == report.read_bytes()
