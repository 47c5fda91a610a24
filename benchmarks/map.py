"""The linked map's canvas and napari-clusters-plotter's: open, recolour, lasso; in one viewer.

The peer is a napari plugin on PyPI: ``pip install napari-clusters-plotter`` beside this package
and ``napari[pyqt6]``. Without it, or without a screen or ``xvfb-run``, this says so and stops.

Both get the same points, values and lasso, and are driven through what a user touches: the peer by
its combo boxes and lasso tool, on a Points layer whose features hold the map; ours by its signals.
A time ends when the new picture is complete on screen. The peer also colours the Points layer; the
column "its plot alone" leaves that out, by driving only the canvas inside it (biaplotter).
"""

from __future__ import annotations

import sys
import time
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd
from common import in_a_window, show

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (100_000, 1_000_000)
VERTICES = 200

Steps = dict[str, float]


def cells(n: int) -> pd.DataFrame:
    """A map of n cells: arms that leave from a few places, as PHATE draws them."""
    rng = np.random.default_rng(0)
    arm, along = rng.integers(0, 8, n), rng.uniform(0, 1, n)
    starts, ways = rng.normal(0, 4, (8, 2)), rng.normal(0, 4, (8, 2))
    xy = starts[arm] + ways[arm] * along[:, None] + rng.normal(0, 0.4, (n, 2))
    return pd.DataFrame({"PHATE 1": xy[:, 0], "PHATE 2": xy[:, 1], "age": along, "arm": arm * 1.0})


def lasso(xy: np.ndarray) -> np.ndarray:
    """A wavy outline around about half of the points, in their units."""
    angle = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    radius = (1 + 0.2 * np.sin(7 * angle)) * xy.std(axis=0).max()
    return xy.mean(axis=0) + np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def timed(action: Callable[[], object], finished: Callable[[], bool] = lambda: True) -> float:
    """Seconds until an action is done and shown."""
    from qtpy.QtWidgets import QApplication

    start = time.perf_counter()
    action()
    QApplication.processEvents()
    while not finished():
        QApplication.processEvents()
    QApplication.processEvents()
    return time.perf_counter() - start


def ours(table: pd.DataFrame) -> Steps:
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_dynaclr.gui.scatter.plot import PointCloud

    viewer = napari.Viewer()
    QApplication.processEvents()
    xy = table[["PHATE 1", "PHATE 2"]].to_numpy(np.float32)
    made: list[PointCloud] = []

    def colour(name: str) -> None:
        values = table[name].to_numpy()
        scaled = (values - values.min()) / np.ptp(values)
        made[0].set_colours(mpl.colormaps["magma"](scaled, bytes=True))

    def open_map() -> None:
        made.append(PointCloud())
        made[0].set_points(xy)
        colour("age")
        made[0].selected.connect(lambda rows, how: made[0].set_selected(rows))
        viewer.window.add_dock_widget(made[0], area="right", name="Map")

    def drawn() -> bool:
        return made[0].canvas.isValid() and made[0].canvas.complete

    def draw_lasso() -> None:
        places = made[0].xy_to_pixel(lasso(xy))
        made[0].tools.outlined.emit([tuple(place) for place in places], "replace")

    steps = {"open": timed(open_map, drawn)}
    steps["recolour"] = timed(lambda: colour("arm"), drawn)
    steps["lasso"] = timed(draw_lasso, drawn)
    print(f"  ours: {len(made[0].canvas.selected)} cells in the lasso", flush=True)
    viewer.close()
    return steps


def peer(table: pd.DataFrame) -> Steps:
    import napari
    from napari_clusters_plotter import PlotterWidget
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer()
    places = np.random.default_rng(0).uniform(0, 1000, (len(table), 2))
    layer = viewer.add_points(places, features=table, size=3)
    QApplication.processEvents()
    made: list[PlotterWidget] = []

    def open_map() -> None:
        made.append(PlotterWidget(viewer))
        viewer.window.add_dock_widget(made[0], area="right", name="Map")
        made[0].control_widget.y_axis_box.setCurrentText("PHATE 2")

    def recolour() -> None:
        made[0].control_widget.hue_box.setCurrentText("arm")

    def draw_lasso() -> None:
        tool = made[0].plotting_widget
        tool.active_selector = "LASSO"
        tool.active_selector.on_select(lasso(table[["PHATE 1", "PHATE 2"]].to_numpy()))

    steps = {"open": timed(open_map), "recolour": timed(recolour), "lasso": timed(draw_lasso)}
    chosen = int((layer.features["MANUAL_CLUSTER_ID"].astype(int) > 0).sum())
    print(f"  napari-clusters-plotter: {chosen} cells in the lasso", flush=True)
    viewer.close()
    return steps


def peer_plot(table: pd.DataFrame) -> Steps:
    import napari
    from biaplotter.plotter import CanvasWidget
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer()
    QApplication.processEvents()
    xy = table[["PHATE 1", "PHATE 2"]].to_numpy()
    made: list[CanvasWidget] = []

    def open_map() -> None:
        made.append(CanvasWidget(viewer))
        viewer.window.add_dock_widget(made[0], area="right", name="Plot")
        made[0].active_artist = "SCATTER"
        made[0].active_artist.data = xy
        recolour("age")

    def recolour(name: str) -> None:
        from biaplotter.colormap import BiaColormap

        made[0].active_artist.overlay_colormap = BiaColormap(mpl.colormaps["magma"])
        made[0].active_artist.color_indices = table[name].to_numpy()

    def draw_lasso() -> None:
        made[0].active_selector = "LASSO"
        made[0].active_selector.on_select(lasso(xy))

    steps = {"open": timed(open_map), "recolour": timed(lambda: recolour("arm"))}
    steps["lasso"] = timed(draw_lasso)
    viewer.close()
    return steps


def measure(sizes: tuple[int, ...]) -> None:
    warnings.filterwarnings("ignore")
    ours(cells(1000))  # what is only loaded once is not counted
    peer(cells(1000))
    rows: list[dict[str, object]] = []
    for n in sizes:
        table = cells(n)
        # Ours before, between and after, the median counts: other programs slow down both.
        rounds = [ours(table)]
        plot = peer_plot(table)
        rounds.append(ours(table))
        whole = peer(table)
        rounds.append(ours(table))
        mine = {step: float(np.median([one[step] for one in rounds])) for step in whole}
        rows += [
            {
                "cells": n,
                "step": step,
                "ours, s": mine[step],
                "napari-clusters-plotter, s": whole[step],
                "ratio": whole[step] / mine[step],
                "its plot alone, s": plot[step],
                "ratio to that": plot[step] / mine[step],
            }
            for step in mine
        ]
    show("Map of all cells: until the new picture is complete", rows)


def main() -> None:
    if find_spec("napari_clusters_plotter") is None:
        print("\nmap.py: skipped, for `pip install napari-clusters-plotter` is missing")
        return
    sizes = tuple(int(float(n)) for n in sys.argv[1:]) or SIZES
    in_a_window(__file__, lambda: measure(sizes))


if __name__ == "__main__":
    main()
