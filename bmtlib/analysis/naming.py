"""What figures and sentences call things: arms, levels, conditions, numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bmtlib.analysis.schema import FACTOR_COLUMNS
from bmtlib.analysis.tables import Tables
from bmtlib.analysis.trials import done, records
from bmtlib.params.factors import level_text
from bmtlib.stats import FEWEST_BLOCKS
from bmtlib.texts import say, say_n

_FACTOR = {column: factor for factor, column in FACTOR_COLUMNS.items()}
# Along these a figure has an axis or panels; the other factors are settings of an arm and part of its name.
_SCALES = ("file_size_bytes", "concurrency", "offered_per_s")


def level(column: str, value: Any) -> str:
    """A level as words.

    >>> level("file_size_bytes", 5120), level("threads", 2), level("keepalive", True), level("tuning", "seed")
    ('5 KiB', '2 threads', 'keep-alive', 'seed tuning')
    """
    if column == "keepalive":
        return say("keep-alive") if value else say("no keep-alive")
    text = level_text(_FACTOR[column], value)
    if column == "tuning":
        return say("{name} tuning", name=text)
    if column == "threads":
        return say_n("{n} thread", "{n} threads", int(value))
    if column == "queues":
        return say_n("{n} queue", "{n} queues", int(value))
    if column == "offered_per_s":
        return say("{rate} requests/s", rate=f"{value:,}")
    return say("concurrency {count}", count=text) if column == "concurrency" else text


def factor_word(column: str) -> str:
    """What a factor is called.

    >>> factor_word("file_size_bytes"), factor_word("threads")
    ('file size', 'threads')
    """
    known = {
        "file_size": say("file size"),
        "concurrency": say("concurrency"),
        "rate": say("rate"),
        "keepalive": say("keepalive"),
        "threads": say("threads"),
        "queues": say("queues"),
        "lever": say("lever"),
        "tuning": say("tuning"),
        "web_hosts": say("web hosts"),
    }
    factor = _FACTOR.get(column, column)
    return known.get(factor, factor.replace("_", " "))


def role_word(role: str) -> str:
    """What hosts of a role are called where CPUs are theirs.

    >>> role_word("director"), role_word("other")
    ('director', 'other')
    """
    known = {"director": say("director"), "other": say("other"), "client": say("client"), "web": say("web")}
    return known.get(role, role)


def bare_level(column: str, value: Any) -> str:
    """A level without the word for what it is, where that stands beside it.

    >>> bare_level("concurrency", 200), bare_level("offered_per_s", 9000), bare_level("threads", 2)
    ('200', '9,000', '2 threads')
    """
    if column == "concurrency":
        return level_text(_FACTOR[column], value)
    return f"{value:,}" if column == "offered_per_s" else level(column, value)


def word(text: str) -> str:
    """A word of the tables (a verdict, what became of a case) in the reader's language; others as they are.

    >>> word("undecided")
    'undecided'
    """
    known = {
        "higher": say("higher"),
        "lower": say("lower"),
        "undecided": say("undecided"),
        "supported": say("supported"),
        "not supported": say("not supported"),
        "done": say("done"),
        "rejected": say("rejected"),
        "failed": say("failed"),
        "unreadable": say("unreadable"),
        "interrupted": say("interrupted"),
        "left out": say("left out"),
        "not run": say("not run"),
        "not needed": say("not needed"),
        "running": say("running"),
        "planned": say("planned"),
    }
    return known.get(text, text)


def scales(tables: Tables) -> list[str]:
    """Factors that are an axis: the first is the x axis, a second one makes panels."""
    return [column for column in _SCALES if column in tables.factors]


def series_label(tables: Tables, row: Mapping[str, Any]) -> str:
    """An arm with those of its levels that are settings of its own and were varied: "proxy, 2 threads"."""
    varied = [column for column in tables.factors if tables.cases[column].nunique() > 1]
    own = [column for column in varied if column not in _SCALES and pd.notna(row[column])]
    return ", ".join([str(row["arm"]), *(level(column, row[column]) for column in own)])


def in_sentence(series: str) -> str:
    """A series among others in a sentence, where commas part them.

    >>> in_sentence("proxy, 2 threads"), in_sentence("l2dsr")
    ('proxy (2 threads)', 'l2dsr')
    """
    arm, _, settings = series.partition(", ")
    return f"{arm} ({settings})" if settings else arm


def scale_label(tables: Tables, row: Mapping[str, Any]) -> str:
    """The levels of the factors that are scales: "5 KiB, concurrency 200"; empty without any."""
    return ", ".join(level(column, row[column]) for column in scales(tables) if pd.notna(row[column]))


def named(tables: Tables, table: pd.DataFrame) -> pd.DataFrame:
    """`table` with the columns `series` and `scale`, the rows of a series together."""
    # Of many rows few differ in what names them.
    own = [column for column in ("arm", *tables.factors) if column in table]
    group = table.groupby(own, dropna=False, sort=False).ngroup()
    first = ~group.duplicated()
    rows = dict(zip(group[first], records(table[first]), strict=True))
    series = group.map({place: series_label(tables, row) for place, row in rows.items()}).astype(object)
    scale = group.map({place: scale_label(tables, row) for place, row in rows.items()}).astype(object)
    rank = {label: place for place, label in enumerate(dict.fromkeys(series))}
    found = table.assign(series=series, scale=scale)
    return found.sort_values("series", key=lambda labels: labels.map(rank), kind="stable").reset_index(drop=True)


def at_largest(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The rows at the largest level of each scale, and words for it: one figure cannot hold all levels."""
    scale = table["scale"].iloc[-1]
    return table[table["scale"] == scale], say(" At {levels}.", levels=scale) if scale else ""


def conditions(tables: Tables) -> str:
    """What all cases have in common, and how far the testbed can be believed."""
    cases = done(tables)
    scale = ("file_size_bytes", "offered_per_s" if loop(tables) == "open" else "concurrency")
    same = [column for column in scale if cases[column].nunique() == 1]
    levels = enumerated([level(column, cases[column].iloc[0]) for column in same])
    engines = [str(name) for name in cases["engine"].unique() if name != "none"]
    parts = [
        say("at {levels}", levels=levels) if levels else "",
        blocks_text(cases["block"].nunique()),
        _loop_text(tables),
        say("engine {names}", names=", ".join(engines)) if engines else "",
    ]
    text = "; ".join([*filter(None, parts), fidelity(tables)])
    return text[0].upper() + text[1:]


def _loop_text(tables: Tables) -> str:
    """The loop, and the load generator where there are several that do it."""
    engines = [str(name) for name in tables.cases["load_engine"].dropna().unique() if name != "open_loop"]
    text = loop_text(tables)
    return f"{text} ({', '.join(engines)})" if engines else text


def loop_text(tables: Tables) -> str:
    """The loop in words."""
    return say("open loop") if loop(tables) == "open" else say("closed loop")


def enumerated(texts: Sequence[str]) -> str:
    """Things of which all are meant.

    >>> enumerated(["a"]), enumerated(["a", "b", "c"])
    ('a', 'a and b and c')
    """
    return say(" and ").join(texts)


def loop(tables: Tables) -> str:
    """Whether clients waited for an answer before they asked again: "closed" or "open". A scenario has one of both."""
    return "open" if (tables.cases["loop"] == "open").any() else "closed"


def wait_text(tables: Tables, wait_ms: float) -> str:
    """A wait in milliseconds, no finer than its load generator tells it."""
    whole = (tables.cases["load_engine"] == "ab").any() or not wait_ms < 100
    return f"{wait_ms:,.0f} ms" if whole else f"{number(wait_ms)} ms"


def waits_from(tables: Tables) -> str:
    """What a wait is with the run's load generator."""
    engines = set(tables.cases["load_engine"].dropna())
    if engines <= {"ab"}:
        return say("From connecting to the end of the answer")
    if "open_loop" in engines:
        return say("From the instant when a request was due to the end of its answer")
    return say("From the request sent to the end of the answer, connecting not counted")


def fidelity(tables: Tables) -> str:
    """What kind of testbed it was."""
    return say("fidelity {name}", name=fidelity_name(tables.run.get("fidelity")))


def fidelity_name(name: str | None) -> str:
    """A fidelity in the reader's language.

    >>> fidelity_name("namespace"), fidelity_name(None)
    ('namespace', 'unknown')
    """
    known = {
        "namespace": say("namespace"),
        "emulated": say("emulated"),
        "virtual": say("virtual"),
        "physical": say("physical"),
        "": say("unknown"),
    }
    return known.get(name or "", name or "")


def blocks_text(n: int) -> str:
    """So many blocks.

    >>> blocks_text(1), blocks_text(3)
    ('1 block', '3 blocks')
    """
    return say_n("{n} block", "{n} blocks", n)


def no_interval(n: int) -> str:
    """Why so few blocks decide nothing.

    >>> no_interval(1), no_interval(2)
    ('1 block gives no interval, 3 would', '2 blocks give no interval, 3 would')
    """
    return say_n(
        "{n} block gives no interval, {fewest} would",
        "{n} blocks give no interval, {fewest} would",
        n,
        fewest=FEWEST_BLOCKS,
    )


def percent(share: float) -> str:
    """A share as per cent.

    >>> percent(0.421), percent(0.0042)
    ('42 %', '0.4 %')
    """
    return f"{100 * share:.0f} %" if share >= 0.01 or share == 0 else f"{100 * share:.1f} %"


def number(value: float) -> str:
    """A figure as people read it: three digits that matter, thousands apart.

    >>> number(8970.23), number(55.137), number(0.0763), number(0)
    ('8,970', '55.1', '0.076', '0')
    """
    if not math.isfinite(value):
        return say("unknown")
    if abs(value) < 0.0005:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{min(max(digits, 0), 3)}f}"


def short_number(value: float) -> str:
    """A figure for where there is little room.

    >>> short_number(1840000), short_number(63300), short_number(442), short_number(0)
    ('1.84 M', '63.3 k', '442', '0')
    """
    for step, sign in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= step:
            return f"{number(value / step)} {sign}"
    return number(value)


def ratio_text(ratio: float, low: float = math.nan, high: float = math.nan) -> str:
    """A ratio, with its interval if it has one.

    >>> ratio_text(0.9712, 0.93, 1.02), ratio_text(0.0708), ratio_text(0.0708, 0.0707, 0.0713)
    ('0.97 (0.93–1.02)', '0.071', '0.071 (0.071–0.071)')
    """
    texts = [f"{value:.2f}" if value >= 0.1 else f"{value:#.2g}" for value in (ratio, low, high)]
    return texts[0] if math.isnan(low) else f"{texts[0]} ({texts[1]}–{texts[2]})"
