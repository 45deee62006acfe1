"""What a reader checks a report by: guards, proofs, failed cases, raw files, a figure worked out, how to repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from bmtlib.analysis.drift import drift_sentence
from bmtlib.analysis.naming import word
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.used import MOST_LEFT_OUT, df_used
from bmtlib.errors import InputError
from bmtlib.params.paths import project_root
from bmtlib.report import forms
from bmtlib.report.render import MISSING, Html, Number, link, render, table
from bmtlib.rundir import RunDir
from bmtlib.texts import current, msg, say, translated

_MOST_LINKS = 4  # to the clients of one case; its folder has the others
_SAID = {"ok": msg("passed"), "mark": msg("marked"), "reject": msg("rejected")}


def failed_cases(folder: RunDir, tables: Tables) -> Html:
    """Every planned case that is not among the results, and why."""
    rows = []
    for case in forms.records(tables.cases):
        if case["status"] not in ("done", "not needed"):
            status = {say("case"): _case(folder, case["case"]), say("status"): word(case["status"])}
            rows.append({**status, say("why"): _why(tables, case)})
    done = (tables.cases["status"] == "done").sum()
    return table(
        say("Cases that are not among the results"),
        rows,
        empty=say("none; all {done} planned cases are", done=done) if done else say("no case was planned"),
    )


def used(tables: Tables) -> Html:
    """How many blocks of each arm were measured, are used, are left out, and why."""
    rows = [
        {
            **forms.named(tables, row),
            say("planned"): Number.of(row["planned"]),
            say("measured"): Number.of(row["measured"]),
            say("used"): Number.of(row["used"]),
            say("left out"): Number.of(row["left_out"]),
            say("why"): row["why"] or MISSING,
            say("may decide"): say("yes") if row["decides"] else say("no"),
        }
        for row in forms.records(df_used(tables))
    ]
    note = say(
        "No measured block is left out for its figures, however far off they lie: only when a guard rejected it or it "
        "failed. More than {share} left out: what is compared with it is undecided.",
        share=f"{MOST_LEFT_OUT:.0%}",
    )
    return table(say("Blocks measured and used"), rows, note, anchor="t-used")


def drift(tables: Tables) -> Html:
    """Whether the machine became slower or faster over the run."""
    return render("note", text=drift_sentence(tables))


def _why(tables: Tables, case: Mapping[str, Any]) -> str:
    if case["status"] == "rejected":
        guards = tables.guards[(tables.guards["case"] == case["case"]) & (tables.guards["verdict"] == "reject")]
        return "; ".join(guards["text"])
    if case["status"] in ("not run", "interrupted"):
        error = tables.run.get("error") or {}
        return str(error.get("what") or say("the run ended before"))
    if case["status"] == "unreadable":
        return "; ".join(tables.problems.loc[tables.problems["case"] == case["case"], "error"])
    return case["error"] if isinstance(case["error"], str) else MISSING


def _records(folder: RunDir) -> Iterator[dict[str, Any]]:
    """What case.json says of each case that was tried. One that cannot be read is told of by `failed_cases`."""
    for case_id in folder.case_ids():
        with suppress(InputError):
            yield folder.case(case_id)


def guards(tables: Tables) -> Html:
    """The guards by name: how many cases passed, and what one of them saw. Those that did not pass everywhere first."""
    rows = []
    by_name = list(tables.guards.groupby("name", sort=False))
    for name, found in sorted(by_name, key=lambda part: -(part[1]["verdict"] != "ok").sum()):
        counts = found["verdict"].value_counts()
        # What was marked or rejected tells more than what passed.
        example = found.iloc[int((found["verdict"] != "ok").to_numpy().argmax())]
        rows.append(
            {
                say("guard"): name,
                **{translated(_SAID[verdict]): Number.of(int(counts.get(verdict, 0))) for verdict in _SAID},
                say("for example"): f"{example['case']}: {example['text']}",
            }
        )
    return table(say("Guards, over all cases"), rows, _as_written(), say("no case came as far as its guards"))


def marks(folder: RunDir, tables: Tables) -> Html:
    """Every guard that did not pass, in its own words."""
    rows = [
        {
            say("case"): _case(folder, row["case"]),
            say("guard"): row["name"],
            say("verdict"): Html('<span class="{}">{}</span>').format(
                row["verdict"], translated(_SAID[row["verdict"]])
            ),
            say("what it saw"): row["text"],
            say("evidence"): row["evidence"] if isinstance(row["evidence"], str) else MISSING,
        }
        for row in forms.records(tables.guards)
        if row["verdict"] != "ok"
    ]
    none = say("none; all passed") if len(tables.guards) else say("none was asked")
    return table(say("Guards that did not pass"), rows, _as_written(), none)


def _as_written() -> str:
    """Words for readers of another language than that in which the run was recorded; in English none are needed."""
    if current() == "en":
        return ""
    return say("What guards and proofs saw was written down during the run, in English, and is shown as it was.")


def proofs(folder: RunDir) -> Html:
    """What was shown before the load of each arm; one case of each arm."""
    rows: list[dict[str, object]] = []
    seen = set()
    for case in _records(folder):
        if case["arm"] in seen or not case["preflight"]:
            continue
        seen.add(case["arm"])
        where = _case(folder, case["id"])
        rows += [
            {say("arm"): case["arm"], say("shown"): proof["text"], say("case"): where} for proof in case["preflight"]
        ]
    caption = say("Shown before the load of every case; here the first of each arm")
    return table(caption, rows, _as_written(), say("no arm came so far"))


def problems(tables: Tables) -> Html:
    """Raw files that could not be understood: what they would have said is missing from this report."""
    rows = [
        {
            say("file"): "/".join(part for part in (row.case, row.host, row.file) if isinstance(part, str)),
            say("why"): row.error,
        }
        for row in tables.problems.itertuples()
    ]
    return table(say("Raw files that were refused"), rows, empty=say("none; every raw file was understood"))


def raw_files(folder: RunDir) -> Html:
    """Links to what each case left behind."""
    rows = []
    director = next((host["name"] for host in folder.run_json()["hosts"] if host["role"] == "director"), "director")
    for case in _records(folder):
        place = f"cases/{case['id']}"
        clients = [client["host"] for client in case["clients"]]
        bundle = f"{place}/client.zip"
        reports = [link(folder, f"{place}/{host}/{case['load']['engine']}.txt", host) for host in clients[:_MOST_LINKS]]
        if others := len(clients) - len(reports):
            reports.append(
                link(folder, bundle if (folder.path / bundle).exists() else place, say("{count} more", count=others))
            )
        rows.append(
            {
                say("case"): _case(folder, case["id"]),
                say("status"): word(case["status"]),
                say("requests"): Number.of(case["requests"]["completed"]),
                say("seconds"): Number.of(case["window_s"], digits=4),
                say("the load generators said"): Html(", ").join(reports) if reports else MISSING,
                say("director"): link(folder, f"{place}/{director}", say("counters")),
            }
        )
    caption = say("Cases, in the order in which they were measured")
    return table(caption, rows, empty=forms.nothing(), anchor="t-raw")


def run_files(folder: RunDir) -> Html:
    """Links to what describes the run as a whole."""
    words = {
        "run.json": say("testbed, versions, hosts, status"),
        "scenario.yml": say("the question, resolved"),
        "testbed.yml": say("where it was measured"),
        "plan.json": say("every case, in order"),
        "events.jsonl": say("every step, with its time"),
        "notebooks/20-compare-arms.ipynb": say("the comparison, to go on from in JupyterLab"),
        "notebooks/21-waits.ipynb": say("what clients waited, likewise"),
        "notebooks/22-director-cost.ipynb": say("CPU time and bytes per request, likewise"),
        "notebooks/30-irq-and-drops.ipynb": say("interrupts, packets, CPUs, and losses by layer, likewise"),
    }
    return render(
        "facts", facts={link(folder, name, name): text for name, text in words.items() if (folder.path / name).exists()}
    )


def _case(folder: RunDir, case_id: str) -> Html:
    return link(folder, f"cases/{case_id}/case.json", case_id)


def by_hand(folder: RunDir) -> Html:
    """One case's requests per second, from the figures in its raw files."""
    for case in _records(folder):
        if case["status"] == "done" and case["window_s"]:
            rate = case["requests"]["completed"] / case["window_s"]
            return render("by_hand", case=case, link=partial(link, folder), rate=rate)
    return render("note", text=say("No case was measured, so there is no figure to work out."))


def repeat(folder: RunDir) -> Html:
    """The commands that repeat the run, and that rebuild this report from its raw files."""
    path = folder.path.resolve()
    inside = path.is_relative_to(project_root())
    run: Mapping[str, Any] = folder.run_json()
    return render(
        "repeat",
        place=shlex.quote(path.relative_to(project_root()).as_posix()) if inside else "RUN",
        title=run["scenario"]["title"],
        run=run["id"],
        version=run["bmtlib"],
        digest=run["digest"],
        language=current(),
        seed=folder.read_json("plan.json")["seed"],
    )
