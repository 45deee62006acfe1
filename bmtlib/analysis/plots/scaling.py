"""How the rate grows with the director's threads or queues: single cases, and the law fitted to them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bmtlib.analysis.naming import conditions, factor_word, in_sentence, named, ratio_text
from bmtlib.analysis.plots.load import no_case
from bmtlib.analysis.plots.style import (
    KIND_COLOURS,
    QUIET,
    Label,
    label_ends,
    label_room,
    lay_out,
    new_figure,
    nothing_to_show,
    panel_grid,
    sentences,
    shade,
    styled,
    text_colour,
)
from bmtlib.analysis.scaling import df_scaling, usl
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import df_trials, done, keys
from bmtlib.texts import msg, say, translated

TITLE = msg("How requests/s grow with the director's threads or queues")
_FULL = 0.9  # a CPU that is busy for longer than this share has nothing left to give
_LAWS = {"usl": msg("universal scalability law"), "amdahl": msg("Amdahl's law")}


@styled
def plot_scaling(tables: Tables) -> Figure:
    """Requests/s over workers: dot a case, line the law (USL where it was fitted), dotted as many times one worker."""
    table = _one_law(tables)
    if table.empty:
        return nothing_to_show(translated(TITLE), _why(tables))
    laws = say(" or ").join(translated(_LAWS[law]) for law in _LAWS if law in set(table["law"]))
    scale = table["scale"].iloc[0]
    note = sentences(
        say("Dot: one case. Line: {laws}. Dotted: as many times one worker.", laws=laws),
        say(" At {levels}.", levels=scale).strip() if scale else "",
        f"{conditions(tables)}.",
    )
    figure = new_figure(scaling_finding(table), note, 3.2)
    factors = list(table["along"].unique())
    panels, drawn = panel_grid(figure, len(factors)), []
    trials = df_trials(tables)
    for axes, along in zip(panels, factors, strict=True):
        labels, end = _draw(tables, axes, table[table["along"] == along], trials, along)
        room = label_room([text for _, text, _ in labels], len(panels))
        axes.set_xlim(0, end / (1 - room))
        drawn.append((end, labels))
    lay_out(figure)
    for axes, (end, labels) in zip(panels, drawn, strict=True):
        label_ends(axes, end, labels)
    return figure


def scaling_finding(table: pd.DataFrame) -> str:
    """By how much the most workers answer more than the fewest."""
    parts = []
    for _, row in table.iterrows():
        times = ratio_text(row["speedup"], row["speedup_low"], row["speedup_high"])
        decided = row["speedup_low"] > 1 or row["speedup_high"] < 1
        values = {
            "arm": in_sentence(row["series"]),
            "ratio": times,
            "most": row["most"],
            "fewest": row["fewest"],
            "factor": factor_word(row["along"]),
        }
        if decided:
            text = say("{arm}: {ratio} times the requests/s with {most} {factor} for {fewest}", **values)
        else:
            text = say(
                "{arm}: no change of requests/s shown, ratio {ratio}, with {most} {factor} for {fewest}", **values
            )
        full = row["full_share"] > _FULL or np.isnan(row["full_share"])
        parts.append(text if full else say("{text} (its CPUs were not full)", text=text))
    return "; ".join(parts)


def _one_law(tables: Tables) -> pd.DataFrame:
    """Of each curve the row of the law with the most parameters that could be fitted; at the largest scales."""
    table = named(tables, df_scaling(tables))
    table = table[table["why"] == ""]
    if table.empty:
        return table
    table = table[table["scale"] == table["scale"].iloc[-1]]
    ranked = table.sort_values("law", key=lambda law: law != "usl", kind="stable")
    return ranked.drop_duplicates(["series", "along"]).sort_index()


def _draw(
    tables: Tables, axes: Axes, table: pd.DataFrame, trials: pd.DataFrame, along: str
) -> tuple[list[Label], float]:
    labels: list[Label] = []
    end, top = 1.0, 0.0
    for place, (_, row) in enumerate(table.iterrows()):
        same = table["kind"] == row["kind"]
        colour = shade(KIND_COLOURS.get(row["kind"], "#222222"), int(same.iloc[:place].sum()), int(same.sum()))
        dots = trials[trials[along].notna()]
        for name in (name for name in keys(tables) if name != along):
            dots = dots[dots[name].isna() if pd.isna(row[name]) else dots[name] == row[name]]
        at, rates = dots[along].to_numpy("float64"), dots["requests_per_s"].to_numpy("float64")
        x = np.linspace(at.min(), at.max(), 60)
        coherence = 0.0 if np.isnan(row["coherence"]) else row["coherence"]
        axes.plot(x, row["one_per_s"] * x, color=QUIET, linewidth=1, linestyle=":")
        y = usl(x, row["one_per_s"], row["contention"], coherence)
        axes.plot(x, y, color=colour, linewidth=2)
        axes.plot(at, rates, "o", color=colour, markersize=4, markeredgecolor="white", markeredgewidth=0.6)
        labels.append((float(y[-1]), row["series"], text_colour(colour)))
        end, top = max(end, float(at.max())), max(top, float(rates.max()), float(y.max()))
        axes.set_xticks(sorted(set(at) | set(axes.get_xticks() if place else ())))
    axes.set_ylim(0, 1.25 * top)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_xlabel(say("threads of the director") if along == "threads" else say("queues of the director"))
    axes.set_ylabel(say("requests/s"))
    axes.grid(axis="y")
    return labels, end


def _why(tables: Tables) -> str:
    table = df_scaling(tables)
    if done(tables).empty:
        return no_case()
    if table.empty:
        return say("Neither threads nor queues were varied.")
    rows = table[table["law"] == "amdahl"]
    parts = {
        say("{arm} over {factor}: {why}", arm=row["arm"], factor=factor_word(row["along"]), why=row["why"])
        for _, row in rows.iterrows()
    }
    return say("No law can be fitted. {why}.", why="; ".join(sorted(parts)))
