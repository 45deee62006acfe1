"""`lscpu -J` of util-linux: what the CPUs are. Source: sys-utils/lscpu.c, lscpu(1)."""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import Json


class LscpuRow(TypedDict):
    """One line of lscpu.

    field: its name without the colon ("Model name", "On-line CPU(s) list")
    value: text as printed, units and all; None for a heading
    """

    field: str
    value: str | None


def parse(text: str) -> list[LscpuRow]:
    """One row per field, in order; what stands under a heading (newer lscpu nests it) follows the heading.

    >>> parse('{"lscpu": [{"field": "CPU(s):", "data": "2"}]}')
    [{'field': 'CPU(s)', 'value': '2'}]
    """
    fields = Json.load("lscpu", text)["lscpu"]
    rows = _rows(fields)
    if not rows:
        fields.fail("is empty")
    return rows


def _rows(fields: Json) -> list[LscpuRow]:
    rows = []
    for field in fields.items():
        data = field["data"]
        value = None if data.value is None else data.text()
        rows.append(LscpuRow(field=field["field"].text().removesuffix(":"), value=value))
        if field.has("children"):
            rows += _rows(field["children"])
    return rows
