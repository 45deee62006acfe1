"""How long a reader waits for the explorer: its start, and each change of a control, on a run of any size.

    .venv/bin/python benchmarks/explorer.py data/demo
    .venv/bin/python benchmarks/explorer.py RUN --times 5

The start is what a notebook's cell takes once its kernel is up: tables (from their cache), first figure,
controls. A change is what lies between the kernel's hearing of it and the new page. CPU time is told beside the time
that passed: on a busy machine it is what a quiet one would take. Judges nothing.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bmtlib.analysis.tables import read_tables
from bmtlib.report.parameters import open_run
from bmtlib.widgets.explorer import Explorer, explorer


class Clock:
    """Seconds that passed, and seconds of CPU, of each piece of work."""

    def __init__(self) -> None:
        self.passed: list[float] = []
        self.cpu: list[float] = []

    @contextmanager
    def piece(self) -> Iterator[None]:
        began = time.perf_counter(), time.process_time()
        yield
        self.passed.append(time.perf_counter() - began[0])
        self.cpu.append(time.process_time() - began[1])

    def __str__(self) -> str:
        parts = [
            f"{words} median {1000 * statistics.median(found):,.0f} ms, longest {1000 * max(found):,.0f} ms"
            for words, found in (("passed", self.passed), ("CPU", self.cpu))
        ]
        return f"{'; '.join(parts)}; of {len(self.cpu)}"


def changes(found: Explorer) -> Iterator[tuple[str, Any, list[Any]]]:
    """Name of a control, the control, and values to give it in turn."""
    for name, control in (("metric", found.metric), ("along x", found.x), ("split by", found.split)):
        yield name, control, [value for _, value in control.options]
    yield "show", found.show_as, [True, False]
    yield "logarithmic", found.log, [True, False]
    yield "an arm", found.arms.children[1], [False, True]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    run = open_run(str(options.run))
    print(f"{len(read_tables(run).cases)} cases")  # and the cache is there
    start = Clock()
    for _ in range(options.times):
        with start.piece():
            found = explorer(run)
            assert found.widget
    print(f"start: {start}")
    for name, control, values in changes(found):
        clock = Clock()
        for value in values * options.times:
            if value != control.value and value in [given for _, given in getattr(control, "options", [("", value)])]:
                with clock.piece():
                    control.value = value
        if clock.cpu:
            print(f"{name}: {clock}")


if __name__ == "__main__":
    main()
