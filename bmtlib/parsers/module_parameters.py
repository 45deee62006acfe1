"""Parameters of loaded kernel modules: `grep -H '' /sys/module/<module>/parameters/<parameter>`, one line each."""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import Lines


class ParameterRow(TypedDict):
    """module: "ip_vs"; parameter: "conn_tab_bits"; value: as the kernel prints it."""

    module: str
    parameter: str
    value: str


def parse(text: str) -> list[ParameterRow]:
    """One row per parameter.

    >>> parse("/sys/module/ip_vs/parameters/conn_tab_bits:12\\n")
    [{'module': 'ip_vs', 'parameter': 'conn_tab_bits', 'value': '12'}]
    """
    lines = Lines("module_parameters", text)
    rows = []
    while lines:
        match = lines.take(r"/sys/module/(?P<module>\w+)/parameters/(?P<parameter>\w+):(?P<value>.*)", "a parameter")
        rows.append(ParameterRow(module=match["module"], parameter=match["parameter"], value=match["value"]))
    return rows
