"""The tutorial's steps in a real napari window, and the pictures of it: ``make screenshots``.

Clicks what docs/tutorial.md says to click, on the simulated sample, and saves what is on the
screen to ``docs/images/gui-*.jpg``. Where a person would look at the image to decide, it looks
at the truth that is simulated with it. Nothing of the user's is read or changed: settings,
sample and results are in a folder of their own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QScrollArea
from scipy.spatial import ConvexHull

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tour import Tour, Truth

    from napari_dynaclr.session import Session
    from napari_dynaclr.session.cells import Cells

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"

INFECTED, MOCK = "B/1", "A/1"
"""Wells in which cells are annotated, in their first FOV."""

FOLLOWED = 12
"""Cells that are followed by eye in either well."""

LOOK = ("Nuclei", "Sensor", "tracks", "annotations")
"""Layers that show an infection: the reporter moves into the nucleus."""


def open_sample(tour: Tour) -> None:
    """Open the sample, and a well of its plate."""
    tour.doing = "1. open"
    tour.menu("File", "Open Sample", "Simulated infection time-lapse")
    home = tour.open_dock("Open dataset")
    tour.until(lambda: tour.bench.session.fov is not None, "the sample", 600)
    tour.settle()
    home.progress.tell("")
    tour.window._qt_viewer.dockLayerControls.hide()  # noqa: SLF001
    tour.pick_well(home.plate, INFECTED)
    tour.go(24)
    tour.size_docks({"layers": 200, "Open dataset": 400})
    tour.fill_view()
    tour.picture("open")


def segment_and_track(tour: Tour) -> None:
    """Find the cells of the whole plate and link them."""
    tour.doing = "2. segment and track"
    tour.pick_well(tour.open_dock("Open dataset").plate, MOCK)
    panel = tour.open_dock("Segment and track")
    tour.size_docks({"layers": 290, "Segment and track": 430})
    tour.fill_view()
    tour.go(2)
    run = tour.start(panel.steps.panels["segment"])
    seen = panel.steps.panels["segment"].progress
    tour.until(lambda: seen.fraction > 0.08, "the first FOV to be nearly done", 120)
    tour.check("segmentation (running)" in tour.viewer.layers, "nothing is seen of the cells")
    tour.picture("segment")
    tour.finish(run)
    panel.steps.setCurrentIndex(1)
    tour.finish(tour.start(panel.steps.panels["track"]))
    tour.pick_well(tour.open_dock("Open dataset").plate, INFECTED)
    tour.open_dock("Segment and track")
    tour.go(24)
    tour.picture("track")


def embed_and_project(tour: Tour, truth: Truth) -> None:
    """Describe the cells, draw their map, and a lasso around some of them."""
    tour.doing = "3. embed and project"
    panel = tour.open_dock("Embed and project")
    tour.size_docks({"layers": 200, "Embed and project": 560})
    tour.finish(tour.start(panel.steps.panels["embed"]))
    panel.steps.setCurrentIndex(1)
    tour.finish(tour.start(panel.steps.panels["project"]))
    panel.map.scope.setCurrentText("whole plate")
    tour.settle()
    panel.map.parentWidget().setSizes([1, 0])  # the line under the map, dragged down
    tour.show_only(*LOOK)
    tour.fill_view()
    panel.map.cloud.reset_view()
    tour.pause(300)
    tour.press(next(b for b in panel.map.modes.buttons() if b.text() == "Lasso"))
    cells = tour.bench.session.cells
    late = np.flatnonzero(cells.t > 20)[::40]
    infected = late[np.array(truth.states(cells, late, "infection_state")) == "infected"]
    tour.lasso(panel.map.cloud, around(cells.maps["phate"][infected]))
    tour.check(len(tour.bench.session.selection) > 1000, "the lasso caught too few cells")
    tour.picture("map")
    tour.press(next(b for b in panel.map.modes.buttons() if b.text() == "Pan"))


def around(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Outline of most of some points, (N, 2), in steps as a hand would draw it."""
    middle = np.median(points, axis=0)
    away = np.hypot(*((points - middle) / points.std(axis=0)).T)
    inner = points[away < np.percentile(away, 90)]
    corners = inner[ConvexHull(inner).vertices]
    steps = np.linspace(0, 1, 8, endpoint=False)[:, None]
    sides = [a + steps * (b - a) for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)]
    return middle + 1.06 * (np.vstack(sides) - middle)


def annotate(tour: Tour, truth: Truth) -> None:
    """Follow cells by eye: uninfected at first, by clicks; from when on infected, by key."""
    tour.doing = "4. annotate"
    bench, session = tour.bench, tour.bench.session
    session.select([])
    panel = tour.open_dock("Annotate")
    tour.size_docks({"layers": 200, "Annotate": 400})
    tour.fill_view()
    state = {button.text(): button for button in panel.form.states.buttons}
    followed = followed_cells(session.cells, f"{INFECTED}/0", truth)
    tour.check(len(followed) == FOLLOWED, "too few cells get infected to follow")
    tour.go(0)
    tour.press(state["uninfected"])
    for first, _ in followed:
        tour.click(first)
    tour.press(panel.form.select_only)
    for _, turns in sorted(followed, key=lambda pair: session.cells.t[pair[1]]):
        tour.go(int(session.cells.t[turns]))
        tour.point_at(turns)
        tour.key("2")
    tour.settle()
    panel.form.annotator.setText("you")
    panel.form.annotator.editingFinished.emit()
    for _, turns in followed:
        given = session.marks.get(f"{INFECTED}/0", int(session.cells.id[turns]), "infection")
        tour.check(given is not None and given.state == "infected", "a key gave no state")
    bench.show_fov(f"{MOCK}/0")
    tour.settle()
    tour.go(0)
    tour.press(state["uninfected"])
    for row in session.here()[:FOLLOWED]:
        tour.click(int(row))
    tour.press(panel.form.select_only)
    bench.show_fov(f"{INFECTED}/0")
    tour.settle()
    tour.choose(panel.form.review.by, "unlabelled clusters")
    tour.press(panel.form.review.fill_button)
    tour.settle()
    tour.check(len(panel.form.review.patches) > 20, "the queue is nearly empty")
    tour.go(13)
    tour.pause(500)
    tour.picture("annotate")


def followed_cells(cells: Cells, fov_name: str, truth: Truth) -> list[tuple[int, int]]:
    """Choose cells to follow: rows where they are first seen, and where they are infected."""
    found = []
    for row in cells.at(fov_name, 0):
        track = cells.of_track(fov_name, int(cells.track[row]))
        states = truth.states(cells, track, "infection_state")
        if states[0] == "uninfected" and "infected" in states:
            found.append((int(row), int(track[states.index("infected")])))
    return found[:FOLLOWED]


def classify(tour: Tour) -> None:
    """Learn from the annotated cells, and look at the scores and at what is predicted."""
    tour.doing = "5. classify"
    panel = tour.open_dock("Classify")
    tour.size_docks({"layers": 200, "Classify": 460})
    tour.finish(tour.start(panel.step))
    tour.press(next(b for b in panel.colours.values() if b.text() == "prediction"))
    tour.show_only("Phase", "cells")
    tour.settle()
    tour.fill_view()
    bar = panel.findChild(QScrollArea).verticalScrollBar()
    bar.setValue(bar.maximum())
    tour.pause(500)
    tour.picture("classify")


def review(tour: Tour) -> None:
    """Have the cells shown of which the classifier is least sure."""
    tour.doing = "6. review"
    panel = tour.open_dock("Annotate")
    tour.size_docks({"layers": 200, "Annotate": 400})
    tour.show_only(*LOOK)
    tour.choose(panel.form.review.by, "most uncertain")
    tour.press(panel.form.review.fill_button)
    tour.settle()
    tour.check(len(panel.form.review.patches) > 20, "the queue is nearly empty")
    for _ in range(3):
        tour.key("Q")
        tour.settle()
    tour.pause(500)
    tour.picture("review")


def lineage(tour: Tour) -> None:
    """Look at a cell and its daughters over time."""
    tour.doing = "7. lineage"
    session, fov_name = tour.bench.session, f"{INFECTED}/0"
    tour.bench.show_fov(fov_name)
    tour.settle()
    tour.go(16)
    tour.close_all_docks()
    tour.open_dock("Lineage", bottom=True)
    tour.size_docks({"layers": 200})
    tour.size_docks({"Lineage": 280}, heights=True)
    tour.fill_view()
    tour.click(telling_cell(session, fov_name))
    tour.check(len(session.selection) == 1, "the click selected no cell")
    tour.settle()
    tour.pause(1000)
    tour.picture("lineage")


def telling_cell(session: Session, fov_name: str) -> int:
    """Choose the cell on screen whose family has most annotations, in two states."""
    cells, best = session.cells, (0, -1)
    for row in session.here():
        family = cells.lineage(fov_name, int(cells.track[row]))
        rows = np.concatenate([cells.of_track(fov_name, one) for one in family])
        given = [session.marks.get(fov_name, int(cells.id[one]), "infection") for one in rows]
        states = [one.state for one in given if one is not None]
        if 3 <= len(family) <= 4 and len(set(states)) == 2:
            best = max(best, (len(states), int(row)))
    return best[1]


def everything(tour: Tour) -> None:
    """Image, map, annotation and lineage in one window, dark and light."""
    tour.doing = "8. the whole window"
    tour.resize(1400, 900)
    panel = tour.open_dock("Embed and project")
    tour.open_dock("Annotate", beside="Embed and project")
    tour.window._qt_viewer.dockLayerList.hide()  # noqa: SLF001
    tour.size_docks({"Embed and project": 430, "Annotate": 350})
    tour.size_docks({"Lineage": 280}, heights=True)
    panel.map.parentWidget().setSizes([1, 0])
    tour.fill_view()
    panel.map.cloud.reset_view()
    tour.click(int(tour.bench.session.selection[0]))  # says again what is known of it
    tour.settle()
    tour.pause(1000)
    tour.picture("window")
    tour.viewer.theme = "light"
    tour.settle()
    tour.pause(1000)
    tour.picture("light")


def main(arguments: list[str]) -> int:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path(tempfile.gettempdir()) / "dynaclr",
        help="where the sample is made, or used if it is there; its results are made anew",
    )
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder of the pictures")
    options = parser.parse_args(arguments)
    if sys.platform != "linux":  # elsewhere Qt does not ask where the user's folders are
        print("screenshots: error: this runs on Linux only", file=sys.stderr)
        return 1
    home = options.folder.absolute()
    sample = home / "napari-dynaclr" / "infection.zarr"
    for old in (sample.with_suffix(".dynaclr"), home / "settings"):
        shutil.rmtree(old, ignore_errors=True)
    # Before Qt and napari are imported: they look for their folders then.
    os.environ |= {
        "XDG_DATA_HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "settings"),
        "NAPARI_CONFIG": str(home / "settings" / "napari.yaml"),
    }
    from tour import Tour, Truth, WrongTurn

    tour = Tour(options.out)
    try:
        open_sample(tour)
        truth = Truth(sample.with_name("infection_truth.zarr") / "annotations.csv")
        segment_and_track(tour)
        embed_and_project(tour, truth)
        annotate(tour, truth)
        classify(tour)
        review(tour)
        lineage(tour)
        everything(tour)
    except WrongTurn as wrong:
        print(f"screenshots: error: {wrong}", file=sys.stderr)
        return 1
    finally:
        tour.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
