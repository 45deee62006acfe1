"""The parts of a page that shows several runs side by side."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from bmtlib.analysis import across
from bmtlib.analysis.compare import MEASURES
from bmtlib.analysis.differences import GROUPS, differences, refuse
from bmtlib.analysis.plots import save_figure
from bmtlib.analysis.plots.runs import plot_runs, runs_finding
from bmtlib.analysis.schema import FACTOR_COLUMNS
from bmtlib.analysis.tables import Tables
from bmtlib.report.figures import shown
from bmtlib.report.forms import interval, level, ratio, ratio_interval, records
from bmtlib.report.parameters import open_run
from bmtlib.report.render import MISSING, Html, Number, render, table
from bmtlib.rundir import RunDir
from bmtlib.texts import say, translated

_WORDS = {column: factor.replace("_", " ") for factor, column in FACTOR_COLUMNS.items()}


def open_runs(paths: str) -> list[RunDir]:
    """The run folders that a notebook was told to read: paths with blanks between, quoted where they hold one."""
    return [open_run(path) for path in shlex.split(paths)]


def check_same(folders: Sequence[RunDir], despite: str = "anyway") -> None:
    """Raise InputError when what must be equal is not. `despite`: words of `bmt report --despite`, or "anyway"."""
    if despite != "anyway":
        refuse(differences(folders), [word.strip() for word in despite.split(",") if word.strip()])


def head(folders: Sequence[RunDir], tables: Sequence[Tables]) -> Html:
    """What is compared, what came of it, and what makes the comparison weak."""
    found = differences(folders)
    bad = set(found.loc[found["must"] & ~found["equal"], "group"])
    scenarios = dict.fromkeys(str(it.run.get("scenario", {}).get("title", "")) for it in tables)
    return render(
        "runs",
        eyebrow=say("{n} runs side by side", n=len(tables)),
        title=" / ".join(filter(None, scenarios)) or say("Runs side by side"),
        warning=say("Not measured under the same conditions: {what}.", what="; ".join(_groups(bad))) if bad else "",
        heading=say("Answer"),
        findings=[runs_finding(tables, measure) for measure in MEASURES if _told(tables, measure)]
        or [say("The runs have no arm at the same levels that is done in both, so nothing can be compared.")],
        caution=say(
            "Intervals know how blocks differ within each run. What else changed between the runs, such as another day "
            "or another place of a virtual machine, is in every ratio of one run to another and in no interval. The "
            "ratio of two arms within one run is free of most of it, so a change of that ratio says more than a change "
            "of a rate."
        ),
    )


def _groups(words: Collection[str]) -> list[str]:
    return [translated(text) for word, text in GROUPS.items() if word in words]


def _told(tables: Sequence[Tables], measure: str) -> bool:
    found = across.df_ratios_of_runs(tables)
    return bool((found["measure"] == measure).any())


def overview(folders: Sequence[RunDir], tables: Sequence[Tables]) -> Html:
    """Which letter is which run, and where it comes from."""
    rows = [
        {
            say("run"): letter,
            say("name"): str(it.run["id"]),
            say("measured"): str(it.run.get("started") or MISSING)[:16].replace("T", " "),
            say("scenario"): str(it.run.get("scenario", {}).get("name", MISSING)),
            say("testbed"): f"{it.run.get('testbed')}, {it.run.get('fidelity') or MISSING}",
            say("status"): str(it.run.get("status", MISSING)),
            say("cases done"): Number(f"{(it.cases['status'] == 'done').sum()} / {len(it.cases)}"),
            say("folder"): folder.path.name,
        }
        for letter, it, folder in zip(across.letters(tables), tables, folders, strict=True)
    ]
    return table(say("The runs"), rows, anchor="t-runs")


def conditions(folders: Sequence[RunDir], tables: Sequence[Tables]) -> Html:
    """What must be equal and is not; then, folded, everything that was looked at."""
    found = differences(folders)
    names = dict(zip(across.letters(tables), found.columns[4:], strict=True))
    rows = [
        {
            say("condition"): f"{row['group']}: {row['what']}",
            say("same"): _mark(bool(row["equal"]), bool(row["must"])),
            **{letter: row[name] for letter, name in names.items()},
        }
        for row in records(found)
    ]
    bad = [row for row, must, equal in zip(rows, found["must"], found["equal"], strict=True) if must and not equal]
    parts = [
        table(
            say("What must be equal and is not"),
            bad,
            empty=say("nothing: all that must be equal is"),
            anchor="t-differences",
        ),
        render(
            "details",
            summary=say("All {n} conditions that were compared", n=len(rows)),
            content=table(say("All conditions"), rows, anchor="t-conditions"),
        ),
    ]
    return Html("\n").join(parts)


def _mark(equal: bool, must: bool) -> Html:
    look, sign = ("ok", say("same")) if equal else ("reject", say("differs")) if must else ("mark", say("differs, may"))
    return Html('<span class="{}">{}</span>').format(look, sign)


def ratios(tables: Sequence[Tables]) -> Html:
    """The ratio of two arms in each run, and how it changed."""
    letter = dict(zip(across.run_names(tables), across.letters(tables), strict=True))
    rows = [
        {
            say("measure"): translated(MEASURES[row["measure"]]),
            say("compared"): f"{row['arm']}\u00a0/\u00a0{row['against']}",
            **{_WORDS[name]: level(name, row[name]) for name in across.factors_of(tables)},
            say("run"): letter[row["run"]],
            say("ratio"): ratio(row["value"]),
            say("95 % interval"): ratio_interval(row["low"], row["high"]),
            say("blocks"): Number.of(row["n"]),
            **_change(row, letter),
        }
        for row in records(across.df_ratios_of_runs(tables))
    ]
    note = say(
        "Ratio: median over the blocks of that run, paired by block. Change: that ratio over the one of run A; blocks "
        "of two runs have no partner in each other, so its interval is that of unpaired samples (both sides resampled "
        "by themselves, and Welch's t of the logarithms, whichever reaches further)."
    )
    empty = say("no two arms are done at the same levels in run A and in another one")
    return table(say("Arms against each other, run by run"), rows, note, empty, anchor="t-ratios-of-runs")


def values(tables: Sequence[Tables]) -> Html:
    """What each run measured of each arm at its levels."""
    letter = dict(zip(across.run_names(tables), across.letters(tables), strict=True))
    rows = [
        {
            say("arm"): f"{row['arm']} ({row['engine']})" if row["engine"] not in ("none", row["arm"]) else row["arm"],
            **{_WORDS[name]: level(name, row[name]) for name in across.factors_of(tables)},
            say("measure"): translated(MEASURES[row["measure"]]),
            say("run"): letter[row["run"]],
            say("median"): Number.of(row["value"]),
            say("95 % interval"): interval(row["low"], row["high"]),
            say("blocks"): Number.of(row["n"]),
            **_change(row, letter),
        }
        for row in records(across.df_runs(tables))
    ]
    note = say("CPU in microseconds, waits in milliseconds. Change: over run A, unpaired, as above.")
    empty = say("no arm is done at the same levels in run A and in another one")
    return table(say("Each arm, run by run"), rows, note, empty, anchor="t-values-of-runs")


def _change(row: dict[str, object], letter: dict[str, str]) -> dict[str, object]:
    first = row["ratio"] != row["ratio"]  # the first run's rows have none
    found = (float(str(row[name])) for name in ("ratio", "ratio_low", "ratio_high"))
    change, low, high = found
    reason = translated(str(row["why"]))
    for name, short in letter.items():  # who it is about, as the table calls it
        reason = reason.replace(name, short)
    why = f": {reason}" if reason else ""
    return {
        say("change"): Number(MISSING) if first else ratio(change),
        say("95 % of the change"): ratio_interval(low, high),
        say("verdict"): "" if first else f"{say(str(row['verdict']))}{why}",
    }


def unmatched(tables: Sequence[Tables]) -> Html:
    """Arms and levels that only one run has; nothing where there are none."""
    letter = dict(zip(across.run_names(tables), across.letters(tables), strict=True))
    rows = [
        {
            say("arm"): row["arm"],
            **{_WORDS[name]: level(name, row[name]) for name in across.factors_of(tables)},
            say("run"): letter[row["run"]],
        }
        for row in records(across.unmatched(tables))
    ]
    return table(say("Compared with nothing"), rows, anchor="t-unmatched") if rows else Html("")


def figure(tables: Sequence[Tables], measure: str = "requests_per_s", folder: Path | None = None) -> Html:
    """The figure `runs` of a measure, drawn now; with a `folder` also kept there as SVG, PNG and CSV."""
    frame = across.df_runs(tables)
    frame, drawn, name = (
        frame[frame["measure"] == measure],
        plot_runs(tables, measure),
        f"runs-{measure.replace('_', '-')}",
    )
    if folder is not None:
        save_figure(drawn, frame, folder, name)
    return shown(name, drawn, frame)
