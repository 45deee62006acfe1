"""What a request costs the director over the size of its answer: single cases, and the line through them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bmtlib.analysis.cost_model import CPU, SIZE, cost_lines, costs_by_case, df_cost_by_size, df_cost_fit
from bmtlib.analysis.naming import conditions, in_sentence, level, number, ratio_text, series_label
from bmtlib.analysis.plots.load import no_case
from bmtlib.analysis.plots.series import all_series
from bmtlib.analysis.plots.style import (
    Label,
    label_ends,
    label_room,
    lay_out,
    new_figure,
    nothing_to_show,
    sentences,
    styled,
    text_colour,
)
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import done, records
from bmtlib.params.units import size_text
from bmtlib.stats import paired_ratio, verdict
from bmtlib.texts import msg, say, translated

TITLE = msg("What a request costs the director, by the size of its answer")


@styled
def plot_cost_by_size(tables: Tables) -> Figure:
    """The director's CPU time per request: dot a case, line the fit with the band of its interval; both axes log."""
    table = df_cost_by_size(tables)
    if table.empty:
        return nothing_to_show(translated(TITLE), _why(tables))
    table, cases = _with_series(tables, table), _with_series(tables, costs_by_case(tables))
    largest = _largest(tables)
    note = sentences(
        say("Dot: one case. Line: fixed cost + cost per KiB, fitted to all sizes."),
        say("Band: its 95 % interval.") if table["low_us"].notna().any() else "",
        say(" At {levels}.", levels=level("concurrency", largest)).strip() if largest else "",
        f"{conditions(tables)}.",
    )
    figure = new_figure(cost_finding(tables), note, 3.4)
    axes, looks = figure.subplots(), all_series(tables)
    labels: list[Label] = []
    for series, part in table.groupby("series", sort=False):
        look, size = looks[str(series)], part[SIZE].astype("float64") / 1024
        axes.fill_between(size, part["low_us"], part["high_us"], color=look.colour, alpha=0.2, linewidth=0)
        axes.plot(size, part["line_us"], color=look.colour, linewidth=2, linestyle=look.dash)
        dots = cases[cases["series"] == series]
        x = dots[SIZE].astype("float64") / 1024
        axes.plot(x, dots[CPU], "o", color=look.colour, markersize=4, markeredgecolor="white", markeredgewidth=0.6)
        labels.append((float(part["line_us"].iloc[-1]), look.label, text_colour(look.colour)))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    measured = sorted(table.loc[table["measured_us"].notna(), SIZE].unique())
    low, high = measured[0] / 1024, measured[-1] / 1024
    room = label_room([text for _, text, _ in labels], 1)
    axes.set_xlim(low * 0.85, high * (high / low) ** (room / (1 - room)))
    shown = cases.loc[cases["series"].isin(table["series"]), CPU].to_numpy("float64")
    axes.set_ylim(np.nanmin(shown) / 1.5, np.nanmax(shown) * 1.5)  # a wide band must not flatten what was measured
    axes.set_xticks([size / 1024 for size in measured], [size_text(int(size)) for size in measured])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel(say("size of the answer"))
    axes.set_ylabel(say("director CPU per request, µs"))
    axes.grid(axis="y")
    lay_out(figure)
    label_ends(axes, high, labels)
    return figure


def cost_finding(tables: Tables) -> str:
    """What a KiB more costs with each arm; of two arms, whether they are shown to differ."""
    lines = {
        in_sentence(series_label(tables, {**names, SIZE: pd.NA})): line
        for names, found in cost_lines(tables)
        if not isinstance(line := found[CPU], str) and names.get("concurrency") == _largest(tables)
    }
    if not lines:
        return translated(TITLE)
    each = ", ".join(
        say("{time} µs with {arm}", time=number(float(np.median(line.per_kib))), arm=name)
        for name, line in lines.items()
    )
    if len(lines) != 2:
        return say("A KiB more costs the director {each}", each=each)
    (first, one), (second, other) = lines.items()
    both = pd.DataFrame({"one": pd.Series(one.per_kib, one.blocks), "other": pd.Series(other.per_kib, other.blocks)})
    found = paired_ratio(both["other"].to_numpy(), both["one"].to_numpy())
    times = ratio_text(found.median, found.low, found.high)
    if verdict(found) == "undecided":
        return say(
            "Director CPU per KiB, {second} and {first}: no difference shown, ratio {ratio}",
            second=second,
            first=first,
            ratio=times,
        )
    names = {"second": second, "first": first, "each": each}
    if verdict(found) == "lower":
        return say("A KiB more costs the director less with {second} than with {first}: {each}", **names)
    return say("A KiB more costs the director more with {second} than with {first}: {each}", **names)


def _largest(tables: Tables) -> int | None:
    """The largest concurrency, where it was varied: one figure cannot hold all."""
    return int(done(tables)["concurrency"].max()) if "concurrency" in tables.factors else None


def _with_series(tables: Tables, table: pd.DataFrame) -> pd.DataFrame:
    """Rows at the largest concurrency, with their series."""
    if largest := _largest(tables):
        table = table[table["concurrency"] == largest]
    return table.assign(series=[series_label(tables, row) for row in records(table)])


def _why(tables: Tables) -> str:
    if done(tables).empty:
        return no_case()
    if SIZE not in tables.factors:
        return say("The size of the file was not varied.")
    fits = df_cost_fit(tables)
    why = [text for text in fits.loc[fits["measure"] == CPU, "why"].unique() if text]
    return say("No line: {why}.", why="; ".join(why)) if why else say("Only the arm direct was measured.")
