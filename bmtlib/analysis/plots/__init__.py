"""Figures. Each `plot_x(tables)` draws what `df_x(tables)` returns; its heading is computed from that table."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from bmtlib.analysis import compare
from bmtlib.analysis.forest import df_forest
from bmtlib.analysis.plots.connections import plot_connections_over_time
from bmtlib.analysis.plots.cpus import plot_cpu_over_time, plot_irq_softirq
from bmtlib.analysis.plots.director import plot_director_bytes, plot_director_cpu
from bmtlib.analysis.plots.drift import plot_drift
from bmtlib.analysis.plots.forest import plot_ratio_forest
from bmtlib.analysis.plots.irqs import plot_irq_over_time, plot_packets_by_cpu
from bmtlib.analysis.plots.knee import plot_knee
from bmtlib.analysis.plots.load import plot_throughput, plot_waits, plot_web_share
from bmtlib.analysis.plots.losses import plot_drops
from bmtlib.analysis.plots.maps import plot_cpu_map, plot_irq_map
from bmtlib.analysis.plots.over_time import plot_rate_over_time, plot_waits_over_time
from bmtlib.analysis.plots.scaling import plot_scaling
from bmtlib.analysis.plots.seed import plot_seed_slope
from bmtlib.analysis.plots.settings import plot_settings
from bmtlib.analysis.plots.sizes import plot_cost_by_size
from bmtlib.analysis.plots.style import lay_out
from bmtlib.analysis.plots.topology import plot_topology
from bmtlib.analysis.plots.waterfall import plot_lost_by_layer
from bmtlib.analysis.tables import Tables
from bmtlib.errors import MachineError
from bmtlib.files import write_whole

__all__ = [
    "FIGURES",
    "plot_connections_over_time",
    "plot_cost_by_size",
    "plot_cpu_map",
    "plot_cpu_over_time",
    "plot_director_bytes",
    "plot_director_cpu",
    "plot_drift",
    "plot_drops",
    "plot_irq_map",
    "plot_irq_over_time",
    "plot_irq_softirq",
    "plot_knee",
    "plot_lost_by_layer",
    "plot_packets_by_cpu",
    "plot_rate_over_time",
    "plot_ratio_forest",
    "plot_scaling",
    "plot_seed_slope",
    "plot_settings",
    "plot_throughput",
    "plot_topology",
    "plot_waits",
    "plot_waits_over_time",
    "plot_web_share",
    "save_figure",
    "save_figures",
]

DOTS_PER_IN = 160

# Name (also of the files) -> how to draw it, and the table that it draws; in the order of a report.
FIGURES: dict[str, tuple[Callable[[Tables], Figure], Callable[[Tables], pd.DataFrame]]] = {
    "ratio-forest": (plot_ratio_forest, df_forest),
    "throughput": (plot_throughput, compare.df_throughput),
    "rate-over-time": (plot_rate_over_time, compare.df_rate_over_time),
    "knee": (plot_knee, compare.df_knee),
    "settings": (plot_settings, compare.df_settings),
    "scaling": (plot_scaling, compare.df_scaling),
    "waits": (plot_waits, compare.df_wait_curve),
    "waits-over-time": (plot_waits_over_time, compare.df_waits_over_time),
    "director-cpu": (plot_director_cpu, compare.df_director_cpu),
    "cost-by-size": (plot_cost_by_size, compare.df_cost_by_size),
    "director-bytes": (plot_director_bytes, compare.df_director_bytes),
    "seed-slope": (plot_seed_slope, compare.df_seed_slope),
    "cpu-over-time": (plot_cpu_over_time, compare.df_cpu_over_time),
    "cpu-map": (plot_cpu_map, compare.df_cpu_over_time),
    "irq-softirq": (plot_irq_softirq, compare.df_irq_softirq),
    "irq-map": (plot_irq_map, compare.df_irq_softirq),
    "irq-over-time": (plot_irq_over_time, compare.df_irq_over_time),
    "packets-by-cpu": (plot_packets_by_cpu, compare.df_packets_by_cpu),
    "connections-over-time": (plot_connections_over_time, compare.df_connections_over_time),
    "lost-by-layer": (plot_lost_by_layer, compare.df_lost),
    "drops": (plot_drops, compare.df_drops),
    "web-share": (plot_web_share, compare.df_web_share),
    "topology": (plot_topology, compare.df_topology),
    "drift": (plot_drift, compare.df_drift_trials),
}


def save_figure(figure: Figure, table: pd.DataFrame, folder: Path | str, name: str) -> list[Path]:
    """Write <folder>/<name>.svg, .png and .csv, the table behind it; the paths written.

    The same figure gives the same bytes: no date is written. Raises MachineError when the folder cannot be written.
    """
    lay_out(figure)
    svg, png = io.BytesIO(), io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bmtlib"}):
        FigureCanvasSVG(figure).print_svg(svg, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    figure.set_dpi(DOTS_PER_IN)
    FigureCanvasAgg(figure).print_png(png, metadata={"Software": "bmtlib"})
    contents = {"svg": svg.getvalue(), "png": png.getvalue(), "csv": table.to_csv(index=False).encode()}
    paths = []
    try:
        for ending, content in contents.items():
            paths.append(Path(folder) / f"{name}.{ending}")
            write_whole(paths[-1], content)
    except OSError as error:
        raise MachineError(f"cannot write the figure {name}: {error.strerror}", where=str(folder)) from error
    return paths


def save_figures(tables: Tables, folder: Path | str) -> dict[str, list[Path]]:
    """Draw and write all of FIGURES; the paths written, by name."""
    return {name: save_figure(plot(tables), df(tables), folder, name) for name, (plot, df) in FIGURES.items()}
