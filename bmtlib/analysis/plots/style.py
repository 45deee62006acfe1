"""One look for all figures: colours, type, headings, labels. The only place that knows how a figure is dressed.

Colours are Okabe and Ito's, which people with any kind of colour blindness tell apart (M. Okabe, K. Ito, "Color
Universal Design", 2008). A kind of arm has the same colour in every figure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import pairwise
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.patches import Patch

from bmtlib.analysis.plots.fonts import hangul_family, wide, wrapped
from bmtlib.texts import current, language

WIDTH_IN = 7.0
INK, QUIET, FAINT = "#222222", "#666666", "#dddddd"

KIND_COLOURS = {"direct": "#8a8a8a", "proxy": "#E69F00", "nat": "#CC79A7", "l3dsr": "#009E73", "l2dsr": "#0072B2"}
CPU_COLOURS = {
    "user": "#56B4E9",
    "system": "#009E73",
    "softirq": "#D55E00",
    "irq": "#CC79A7",
    "steal": "#999999",
}
EVENT_COLOURS = ("#D55E00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#999999")
# Of heat maps: one hue, lighter to darker, which no kind of colour blindness takes away.
HEAT = LinearSegmentedColormap.from_list("heat", ["#f7f7f7", "#fdbb84", "#d7301f", "#7f0000"])

_RC: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: it can be searched and read aloud
    "svg.hashsalt": "bmtlib",  # the same figure gives the same file
}

P = ParamSpec("P")
Colour = tuple[float, float, float]
Label = tuple[float, str, Colour]  # height, text, colour


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in bmtlib's style without touching matplotlib's global settings; in English where Hangul has no font."""

    @wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        if current() == "en":
            with mpl.rc_context(_RC):
                return draw(*args, **kwargs)
        hangul = hangul_family()
        families = ["DejaVu Sans", *([hangul] if hangul else []), "sans-serif"]
        with mpl.rc_context({**_RC, "font.family": families}), language(current() if hangul else "en"):
            return draw(*args, **kwargs)

    return in_style


def new_figure(title: str, note: str, body_in: float, colours: Mapping[str, str] | None = None) -> Figure:
    """A figure with its finding as heading, `note` (how to read it, conditions) below, and `body_in` inches of room.

    `colours` (name -> colour) become a key under the note, for parts too small to be labelled themselves. Axes are
    added with `figure.subplots`; they stay clear of all this.
    """
    heading, small = _wrapped(title, 70), _wrapped(note, 102)
    key_at = 0.1 + 0.21 * len(heading) + 0.165 * len(small)
    head_in = key_at + (0.3 if colours else 0.04)
    height = body_in + head_in
    figure = Figure(figsize=(WIDTH_IN, height), layout="constrained", facecolor="white")
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0, 0, 1, 1 - head_in / height), w_pad=0.06, h_pad=0.06)  # type: ignore[call-arg]
    figure.text(0.012, 1 - 0.06 / height, "\n".join(heading), fontsize=11.5, fontweight="bold", va="top")
    down = 0.10 + 0.21 * len(heading)
    figure.text(0.012, 1 - down / height, "\n".join(small), fontsize=9, color=QUIET, va="top")
    if colours:
        legend = figure.legend(
            handles=[Patch(color=colour, label=name) for name, colour in colours.items()],
            loc="upper left",
            bbox_to_anchor=(0.012, 1 - key_at / height),
            borderpad=0,
            borderaxespad=0.4,
            ncols=len(colours),
            handlelength=1,
            handleheight=1,
            columnspacing=1.4,
        )
        legend.set_in_layout(False)
    return figure


def sentences(*parts: str) -> str:
    """Sentences one behind the other, without those that are empty."""
    return " ".join(filter(None, parts))


def lay_out(figure: Figure) -> None:
    """Give all axes their final place. It is dear, so it is done once, and not again for each file written."""
    engine = figure.get_layout_engine()
    if engine is not None and not isinstance(engine, PlaceHolderLayoutEngine):  # which stands for "done already"
        if figure.axes:
            engine.execute(figure)
        figure.set_layout_engine("none")


def panel_grid(figure: Figure, count: int, abreast: int = 2) -> list[Axes]:
    """`count` axes, two abreast."""
    grid = list(figure.subplots(-(-count // abreast), min(abreast, count), squeeze=False).flat)
    for axes in grid[count:]:
        axes.set_visible(False)
    return grid[:count]


def panel_title(axes: Axes, name: str, abreast: int) -> None:
    """The name of a panel, in lines that do not run into the panel beside it."""
    axes.set_title(row_label(name, {1: 70, 2: 31}.get(abreast, 19)))


def row_label(name: str, width: int = 24) -> str:
    """The name of a row, in lines that leave room for what it is the name of.

    >>> row_label("proxy, 2 threads, recommended tuning")
    'proxy, 2 threads,\\nrecommended tuning'
    """
    lines: list[str] = []
    for part in name.replace(", ", ",\n").split("\n"):
        if lines and wide(f"{lines[-1]} {part}") <= width:
            lines[-1] += f" {part}"
        else:
            lines += wrapped(part, width)
    return "\n".join(lines)


def heat(axes: Axes, values: np.ndarray, shades: Normalize) -> None:
    """Cells of 1 x 1 from the upper left corner on; those that are missing show the ground. An image within the SVG: as
    many paths would be megabytes."""
    rows, columns = values.shape
    look: Any = {"aspect": "auto", "interpolation": "none", "extent": (0, columns, rows, 0)}
    axes.imshow(np.ma.masked_invalid(values), cmap=HEAT, norm=shades, **look)


def heat_scale(figure: Figure, panels: Sequence[Axes], shades: ScalarMappable, unit: str) -> None:
    """A bar below the panels of a heat map that says which colour is how much."""
    bar = figure.colorbar(shades, ax=panels, location="bottom", shrink=0.5, aspect=40, pad=0.02, label=unit)
    if bar.solids is not None:
        bar.solids.set_rasterized(True)
    bar.outline.set_visible(False)
    bar.ax.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    bar.minorticks_off()
    bar.ax.tick_params(color=QUIET)


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of `text`, a figure never parted from its unit or interval."""
    return wrapped(re.sub(r"(?<=\d) (?=(ms|µs|B|%|\())", "\u00a0", text), width)


@styled
def nothing_to_show(title: str, why: str) -> Figure:
    """Stands where a figure would be, and says why there is none."""
    lines = wrapped(why, 92)
    figure = new_figure(title, "", 0.5 + 0.2 * len(lines))
    figure.text(0.012, 0.12, "\n".join(lines), color=QUIET, fontsize=10, va="bottom")
    return figure


def shade(colour: str, place: int, count: int) -> Colour:
    """The `place`-th of `count` shades of a colour, from dark to light: for arms of the same kind."""
    if count == 1:
        return to_rgb(colour)
    towards = -0.2 + 0.65 * place / (count - 1)
    return _mix(to_rgb(colour), (1.0, 1.0, 1.0) if towards > 0 else (0.0, 0.0, 0.0), abs(towards))


def beside(y: float, count: int) -> list[float]:
    """Heights for `count` dots of a row, a little apart, so that equal ones do not hide each other.

    >>> beside(1.0, 3), beside(1.0, 1)
    ([0.9, 1.0, 1.1], [1.0])
    """
    return [round(y + 0.1 * (2 * i / (count - 1) - 1), 6) if count > 1 else y for i in range(count)]


def text_colour(colour: Colour) -> Colour:
    """A colour dark enough for letters on white."""
    brightness = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    return _mix(colour, (0.0, 0.0, 0.0), max(0.0, brightness - 0.45))


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = ((1 - share) * a + share * b for a, b in zip(one, other, strict=True))
    return red, green, blue


def label_ends(axes: Axes, x: float, labels: Sequence[Label]) -> None:
    """Write (y, text, colour) right of `x`, moved apart where they would overlap.

    Limits and layout of the axes must be final: overlap is a matter of pixels.
    """
    high = axes.transAxes.transform((0, 1))[1]
    gap = 13 / 72 * axes.figure.dpi
    low = axes.transAxes.transform((0, 0))[1] + gap / 2  # no axis strikes a label out
    pixels = [(max(low, axes.transData.transform((x, y))[1]), text, colour) for y, text, colour in labels]
    places = spread_apart([pixel for pixel, _, _ in pixels], gap, float(high) - gap / 2)
    for (_, text, colour), place in zip(pixels, places, strict=True):
        y = axes.transData.inverted().transform((0, place))[1]
        look: Any = {"color": colour, "fontweight": "bold", "va": "center", "annotation_clip": False}
        axes.annotate(text, (x, y), xytext=(7, 0), textcoords="offset points", **look)


def spread_apart(wanted: Sequence[float], gap: float, high: float) -> list[float]:
    """Positions near the wanted ones, at least `gap` apart and not above `high`.

    >>> spread_apart([10.0, 11.0, 50.0], 5.0, 100.0)
    [10.0, 15.0, 50.0]
    >>> spread_apart([98.0, 99.0], 5.0, 100.0)
    [95.0, 100.0]
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    places = list(wanted)
    for before, i in pairwise(order):
        places[i] = max(places[i], places[before] + gap)
    if order:
        places[order[-1]] = min(places[order[-1]], high)
    for after, i in pairwise(order[::-1]):
        places[i] = min(places[i], places[after] - gap)
    return places


def label_room(texts: Sequence[str], panels: int) -> float:
    """Share of an axis' width that labels at its right end need, in a grid of as many panels."""
    width_in = 6.0 if panels == 1 else 2.7
    return min(0.6, (0.12 + 0.092 * max(map(wide, texts), default=0)) / width_in)
