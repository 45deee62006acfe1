"""The tables of `analysis.compare` as a reader wants them: columns in words, figures rounded."""

from __future__ import annotations

import math

import pandas as pd

from bmtlib.analysis import compare
from bmtlib.analysis.drops import unread
from bmtlib.analysis.naming import factor_word, loop, loop_text, no_interval, waits_from, word
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.used import MOST_LEFT_OUT, MOST_MARKED
from bmtlib.report.forms import count_of, effect, interval, level, named, nothing, ratio, ratio_interval, records
from bmtlib.report.render import MISSING, Html, Number, render, table
from bmtlib.texts import say, translated


def throughput(tables: Tables) -> Html:
    """Requests per second of each arm; nothing of a search, which offers the rates that it finds."""
    if tables.search is not None:
        return Html("")
    rows = [
        {
            **named(tables, row),
            say("requests/s"): Number.of(row["requests_per_s"]),
            say("95 % interval"): interval(row["low_per_s"], row["high_per_s"]),
            say("lowest – highest block"): interval(row["min_per_s"], row["max_per_s"]),
            say("blocks"): Number.of(row["n"]),
        }
        for row in records(compare.df_throughput(tables))
    ]
    note = say("Median over blocks of right answers / window, from the first client's start to the last one's end.")
    return table(say("Requests per second"), rows, note, nothing(), anchor="t-throughput")


def ratios(tables: Tables) -> Html:
    """How the arms compare, block by block. What the note says is not said again in each row.

    Nothing of a search, which tries each arm at levels of its own choice.
    """
    if tables.search is not None:
        return Html("")
    found = records(compare.df_ratio(tables))
    blocks = max((row["n"] for row in found), default=0)
    rows = []
    for row in sorted(found, key=lambda row: list(compare.MEASURES).index(row["measure"])):
        by_rule = row["why"] in ("", compare.holds_one(), no_interval(row["n"]))
        cells = {
            say("measure"): translated(compare.MEASURES[row["measure"]]),
            say("compared"): f"{row['arm']}\u00a0/\u00a0{row['against']}",
            **{factor_word(name): level(name, row[name]) for name in tables.factors},
            say("ratio"): ratio(row["ratio"]),
        }
        if blocks > 1:
            cells[say("95 % interval")] = ratio_interval(row["low"], row["high"])
        said = word(row["verdict"]) if by_rule else f"{word(row['verdict'])}: {row['why']}"
        if by_rule and row["marked"]:
            marked = {"verdict": word(row["verdict"]), "marks": row["marked"]}
            said = say("{verdict}, and without marks more so: {marks}", **marked)
        cells[say("verdict")] = said
        if blocks > 1:
            cells |= {
                say("lowest – highest block"): ratio_interval(row["min"], row["max"]),
                say("higher in"): Number(count_of(row["higher_in"], row["n"])),
                say("difference / scatter"): effect(row["effect"], row["effect_low"], row["effect_high"]),
            }
        rows.append(cells)
    note = say(
        "Ratios are taken within each block; “higher in” counts the blocks in which the first is above the second. "
        "Difference / scatter (Hedges' g): mean logarithm of the ratio over its standard deviation between blocks; "
        "below 1 single blocks often point to the other side. Undecided: the interval holds 1, there are fewer than "
        "three blocks, more than {left_out} of a side's measured blocks are left out, or more than {marked} of its "
        "used ones have a mark that spoils the measure and may have made the difference. Such a mark makes an arm look "
        "worse than it is: a verdict that it is better stands, and would more so without.",
        left_out=f"{MOST_LEFT_OUT:.0%}",
        marked=f"{MOST_MARKED:.0%}",
    )
    none = say("there is no block in which two arms to compare are both done")
    return table(say("Arm against arm"), rows, note, none, anchor="t-ratios")


def ratio_overview(tables: Tables) -> Html:
    """The ratios of all measures side by side: one row for each pair of arms at each choice of levels."""
    rows: dict[tuple[object, ...], dict[str, object]] = {}
    for row in records(compare.df_ratio(tables)):
        levels = {factor_word(name): level(name, row[name]) for name in tables.factors}
        pair = f"{row['arm']}\u00a0/\u00a0{row['against']}"
        found = rows.setdefault((pair, *levels.values()), {say("ratio of"): pair, **levels})
        value, spread = ratio(row["ratio"]), ratio_interval(row["low"], row["high"])
        found[translated(compare.MEASURES[row["measure"]])] = (
            Number(f"{value} ({spread})") if spread != MISSING else value
        )
    note = say("In brackets: 95 % interval. A ratio whose interval holds 1 is undecided.")
    none = say("there are no two arms to compare")
    return table(say("Ratios, by level"), list(rows.values()), note, none, anchor="t-ratio-overview")


def seed_form(tables: Tables) -> Html:
    """This run in the seed study's own form, beside the seed's figures for one thread. Nothing of a search."""
    if tables.search is not None:
        return Html("")
    seed = compare.df_seed_reference()
    form = compare.df_seed_form(tables)
    there = [name for name in ("Served at once", "In listen queue") if form[name].notna().any()]
    note = say(
        "Served at once, in listen queue: how many of these connections a proxy had accepted, and how many waited "
        "there to be; the rest still waited for an answer to their SYN. Medians over the first half of the load. Under "
        "LVS the director has no connections of its own."
    )
    rows = [
        {**row, **{_there(name): Number.written(whole[name], ",") for name in there}}
        for row, whole in zip(_seed_rows(form), records(form), strict=True)
    ]
    ours = table(say("This run"), rows, note if there else "", empty=nothing())
    theirs = table(say("The seed study, one thread (2022)"), _seed_rows(seed[seed["Thread"] == 1]))
    rest = render(
        "details",
        summary=say("All {count} rows of the seed", count=len(seed)),
        content=table(say("The seed study (2022)"), _seed_rows(seed)),
    )
    return Html("\n").join([ours, theirs, rest])


def _there(name: str) -> str:
    return {"Served at once": say("Served at once"), "In listen queue": say("In listen queue")}[name]


def _seed_rows(frame: pd.DataFrame) -> list[dict[str, object]]:
    return [
        {
            say("Arm"): row["Arm"],
            say("Thread"): Number(level("threads", row["Thread"])),
            say("Concurrency"): Number.written(row["Concurrency"], ","),
            say("Total Requests"): Number.written(row["Total Requests"], ","),
            say("File Size"): row["File Size"],
            say("Requests (sec)"): Number.written(row["Requests (sec)"], ",.2f"),
            say("Latency (ms)"): Number.written(row["Latency (ms)"], ".3f"),
            say("Wait (ms)"): Number.written(row["Wait (ms)"], ",.1f"),
        }
        for row in records(frame)
    ]


def waits(tables: Tables) -> Html:
    """What clients waited: percentiles over all requests."""
    percents = {"50 %": "p50_ms", "90 %": "p90_ms", "99 %": "p99_ms", "99.9 %": "p99_9_ms", say("longest"): "max_ms"}
    finest = ",.0f" if (tables.cases["load_engine"] == "ab").any() else ",.2f"
    rows = [
        {
            **named(tables, row),
            say("mean (ms)"): Number.written(row["mean_ms"], ",.1f"),
            **{f"{word} (ms)": Number.written(row[column], finest) for word, column in percents.items()},
            say("requests"): Number.of(row["requests"]),
        }
        for row in records(compare.df_waits(tables))
    ]
    note = say("{from_when}; pooled over all requests of all clients and blocks.", from_when=waits_from(tables))
    caption = say("What clients waited ({loop})", loop=loop_text(tables))
    return table(caption, rows, note, nothing(), anchor="t-waits")


def little(tables: Tables) -> Html:
    """Whether the load generators kept all connections busy (Little's law)."""
    rows = [
        {
            **named(tables, row),
            say("concurrency"): Number.of(int(row["concurrency"])),
            say("requests/s"): Number.of(row["requests_per_s"]),
            say("mean wait (ms)"): Number.of(row["wait_mean_ms"]),
            say("in flight = rate × wait"): Number.of(row["in_flight"]),
            say("of the concurrency"): Number.written(row["in_flight_share"], ".1%"),
        }
        for row in records(compare.df_little(tables))
    ]
    note = say("Well below 100 %: the clients were late in sending, so they are part of what limits the result.")
    closed = say("Of a closed loop only: in an open one the waits make how many are in flight.")
    return table(say("Little's law, as a check"), rows, note, closed if loop(tables) == "open" else nothing())


def director_cpu(tables: Tables) -> Html:
    """The director's CPU time per request, by kind."""
    kinds = {"user": "user_us", "system": "system_us", "softirq": "softirq_us", "irq": "irq_us"}
    found = records(compare.df_director_cpu(tables))
    rows = [
        {
            **named(tables, row),
            **{word: Number.written(row[column], ",.1f") for word, column in kinds.items()},
            say("all (µs)"): Number.written(row["total_us"], ",.1f"),
            say("95 % interval"): interval(row["low_us"], row["high_us"]),
            say("stolen by the hypervisor"): Number.written(row["steal_us"], ",.1f"),
            say("director busy"): Number.written(row["busy_share"], ".0%"),
        }
        for row in found
    ]
    notes = [
        say("Microseconds per right answer: the kernel's account of the director's CPUs, before and after the load.")
    ]
    if not all(row["separable"] for row in found):
        notes.append(say("Other hosts share these CPUs here, so this is not the director's cost alone."))
    caption = say("The director's CPU time per request")
    return table(caption, rows, " ".join(notes), nothing(), anchor="t-director-cpu")


def director_bytes(tables: Tables) -> Html:
    """Bytes through the director per request: the proof that answers go past it, or through it."""
    rows = [
        {
            **named(tables, row),
            say("into the director"): Number.written(row["in_bytes"], ",.0f"),
            say("out of it"): Number.written(row["out_bytes"], ",.0f"),
            say("received by clients"): Number.written(row["client_bytes"], ",.0f"),
            say("out of it / received"): Number(
                f"{row['out_per_client_byte']:.3f}" if math.isfinite(row["out_per_client_byte"]) else MISSING
            ),
        }
        for row in records(compare.df_director_bytes(tables))
    ]
    note = say(
        "Bytes per right answer. Last column: near 0 when answers pass the director by, 1 or more when they go through."
    )
    caption = say("Bytes through the director per request")
    return table(caption, rows, note, nothing(), anchor="t-director-bytes")


def web_share(tables: Tables) -> Html:
    """How evenly the web hosts were used: the least and the most of each arm."""
    frame = compare.df_web_share(tables).dropna(subset="share")
    rows = []
    for _, group in frame.groupby(["arm", "engine", *tables.factors], dropna=False, sort=False):
        hosts = sorted(records(group), key=lambda host: host["share"])
        least, most = hosts[0], hosts[-1]
        rows.append(
            {
                **named(tables, least),
                say("web hosts"): Number.of(len(hosts)),
                say("fair share"): Number.written(least["fair_share"], ".2%"),
                say("least"): Number(f"{Number.written(least['share'], '.2%')} ({least['host']})"),
                say("most"): Number(f"{Number.written(most['share'], '.2%')} ({most['host']})"),
            }
        )
    return table(say("Share of the connections that each web host took"), rows, empty=nothing())


def drops(tables: Tables) -> Html:
    """What was lost, by layer and arm; counters at zero in every arm are gathered in one line for their layer."""
    frame = compare.df_drops(tables)
    rows: list[dict[str, object]] = []
    labels = [" ".join(str(part) for part in named(tables, row).values()) for row in records(frame)]
    wide = frame.assign(label=labels)
    for (layer, counter, means), group in wide.groupby(["layer", "counter", "means"], sort=False):
        if (group["count"].fillna(0) == 0).all():
            continue
        counts = {
            label: Number(level("count", count)) for label, count in zip(group["label"], group["count"], strict=True)
        }
        rows.append({say("layer"): layer, say("counter"): counter, **counts, say("meaning"): translated(str(means))})
    measured = frame[frame["count"].notna()]
    unknown = sorted(set(frame["layer"]) - set(measured["layer"]))
    count = measured["counter"].nunique() - len(rows)
    if rows:
        still = say("{count} other counters stood still in every arm", count=count)
    else:
        still = say("{count} counters stood still in every arm", count=count)
    parts = [
        still if len(measured) else "",
        say("not measured here: {layers}", layers=", ".join(unknown)) if unknown else "",
    ]
    note = "; ".join(part for part in parts if part)
    empty = say("none; {note}", note=f"{note}. {unread(tables)}".rstrip(" .")) if len(frame) else nothing()
    caption = say("Counters that grew, over all hosts and blocks")
    return table(caption, rows, f"{note}. {unread(tables)}".rstrip(), empty, anchor="t-drops")


def interrupts(tables: Tables, most: int = 24) -> Html:
    """The interrupts and softirqs that ran most often per request, by CPU."""
    frame = compare.df_irq_softirq(tables).nlargest(most, "per_request")
    rows = [
        {
            **named(tables, row),
            say("what"): f"{row['source']} {row['name']}"
            + (f" ({row['description'].strip()})" if row["description"] else ""),
            say("CPU"): Number(f"{row['cpu']} ({row['role']})"),
            say("per request"): Number.of(row["per_request"]),
        }
        for row in records(frame)
    ]
    caption = say("The {most} most frequent interrupts and softirqs", most=most)
    return table(caption, rows, empty=nothing(), anchor="t-interrupts")
