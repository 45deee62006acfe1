"""A run's progress inside a notebook: a bar where there is a browser, plain text where there is none."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from bmtlib.events import EventTail
from bmtlib.rundir import RunDir
from bmtlib.widgets.state import Folding, Progress


class _View(Protocol):
    def show(self, progress: Progress) -> None: ...

    def end(self, progress: Progress) -> None: ...


@contextmanager
def show_progress(folder: RunDir, every_s: float = 0.5) -> Iterator[None]:
    """Show the progress of the run in `folder` while the body runs; its events.jsonl is read each `every_s` seconds.

    A thread of its own draws, because the body keeps the notebook's main thread.
    """
    view: _View = _Widget() if _in_kernel() else _Lines()
    ended = threading.Event()
    tail, folding = EventTail(folder), Folding()

    def read() -> Progress:
        for event in tail.new():
            folding.add(event)
        return folding.at(time.time())

    def draw() -> None:
        while not ended.wait(every_s):
            view.show(read())

    drawing = threading.Thread(target=draw, name="bmt-progress", daemon=True)
    drawing.start()
    try:
        yield
    finally:
        ended.set()
        drawing.join()
        view.end(read())


def _in_kernel() -> bool:
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


def left(progress: Progress) -> str:
    """The time left, for people.

    >>> left(Progress(left_s=95.2)), left(Progress(left_s=8.4)), left(Progress())
    ('about 1 min 35 s left', 'about 8 s left', '')
    """
    if progress.left_s is None:
        return ""
    return f"about {duration(progress.left_s)} left"


def duration(seconds: float) -> str:
    """
    >>> duration(8.4), duration(95.2), duration(8000)
    ('8 s', '1 min 35 s', '2 h 13 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


class _Lines:
    """One printed line for each case that has ended."""

    def __init__(self) -> None:
        self._done = 0

    def show(self, progress: Progress) -> None:
        if progress.cases_done > self._done:
            self._done = progress.cases_done
            print(
                f"{self._done} of {progress.cases} cases; requests/s: {progress.last_rate}; {left(progress)}",
                flush=True,
            )

    def end(self, progress: Progress) -> None:
        print(progress.text, *progress.problems, sep="\n", flush=True)


class _Widget:
    """A bar and two lines. At the end static text takes their place: a saved notebook keeps no widget that is dead."""

    def __init__(self) -> None:
        import ipywidgets
        from IPython.display import display

        wide = ipywidgets.Layout(width="100%")
        self._bar = ipywidgets.IntProgress(layout=wide, max=1)
        self._where, self._rates = ipywidgets.Label(value="starting", layout=wide), ipywidgets.Label(layout=wide)
        self._box = ipywidgets.VBox([self._bar, self._where, self._rates])
        content = {
            "text/plain": "a run is under way; events.jsonl in its folder tells how far it is",
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self._box.model_id,
            },
        }
        self._handle = display(content, raw=True, display_id=True)

    def show(self, progress: Progress) -> None:
        self._bar.max, self._bar.value = max(1, progress.cases), progress.cases_done
        self._bar.bar_style = "warning" if progress.problems else ""
        self._where.value = " · ".join(part for part in (progress.text, left(progress)) if part)
        self._rates.value = f"requests/s: {progress.last_rate}" if progress.rates else ""

    def end(self, progress: Progress) -> None:
        rates = [
            f"{arm}: {', '.join(f'{rate:,.0f}' for rate in found)} requests/s" for arm, found in progress.rates.items()
        ]
        text = "\n".join([progress.text, *progress.problems, *rates])
        self._handle.update({"text/plain": text}, raw=True)
        self._box.close()
        for part in (self._bar, self._where, self._rates):
            part.close()
