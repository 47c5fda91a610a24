from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.utils.colormaps import DirectLabelColormap

from napari_dynaclr import open_dataset
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.tasks import TASKS
from napari_dynaclr.gui.layers.marks import TELLING, dots, label_colours
from napari_dynaclr.session import Session
from napari_dynaclr.session.cells import load_cells
from napari_dynaclr.session.colours import ColourBy, Kind, hex_rgba
from napari_dynaclr.session.marks import Marks
from napari_dynaclr.session.painting import paint

INFECTION = TASKS[0]


@pytest.fixture
def session(processed):
    """Looks at B/1/0 at t=4, nothing annotated."""
    made = Session()
    made.open(processed)
    made.show(processed["B/1/0"])
    made.set_frame(4)
    made.set_cells(load_cells(processed.select(["B/1/0"]), "features", Job()), Marks())
    return made


def colour(session, kind, name="infection"):
    colour_by = ColourBy(kind, name)
    palette = paint(session.dataset, session.cells, colour_by, session.tasks, session.marks)
    session.set_palette(colour_by, palette)


def rgba(colour):
    return np.array(hex_rgba(colour)) / 255


def row_of(session, found, row):
    """Index of a cell among the dots."""
    place = [session.cells.t[row], *session.cells.position[row]]
    [index] = np.flatnonzero((found.data == place).all(axis=1))
    return index


def test_without_annotation_and_selection_nothing_is_drawn(session):
    found = dots(session, 5.0)
    assert found.data.shape == (0, 4)
    assert found.face.shape == found.border.shape == (0, 4)
    assert len(found.size) == 0


def test_an_annotated_cell_has_a_dot_in_the_colour_of_its_state(session):
    row = int(session.here()[2])
    session.annotate([row], "infected")
    found = dots(session, 5.0)
    np.testing.assert_array_equal(found.data, [[4, *session.cells.position[row]]])
    np.testing.assert_allclose(found.face[0], rgba(INFECTION.colour("infected")))
    assert found.size[0] == pytest.approx(6.0)


def test_another_task_has_marks_of_its_own(session):
    session.annotate([int(session.here()[0])], "infected")
    session.set_task("division")
    assert len(dots(session, 5.0).data) == 0


def test_only_the_frame_on_screen_is_drawn(session):
    session.set_task("division")
    session.annotate([int(session.here()[0])], "mitosis")
    session.set_frame(5)
    assert len(dots(session, 5.0).data) == 0


def test_a_selected_cell_is_ringed_and_larger(session):
    one, two = (int(row) for row in session.here()[:2])
    elsewhere = int(np.flatnonzero(session.cells.t == 7)[0])
    session.select([two, elsewhere])
    session.annotate([one], "infected")
    found = dots(session, 5.0)
    assert len(found.data) == 2
    ringed = row_of(session, found, two)
    np.testing.assert_array_equal(found.border[ringed], [1, 1, 1, 1])
    assert found.face[ringed][3] == 0
    assert found.size[ringed] > found.size[1 - ringed]


def test_a_cell_that_is_both_is_ringed_in_the_colour_of_its_state(session):
    row = int(session.here()[0])
    session.annotate([row], "infected")
    session.select([row])
    found = dots(session, 5.0)
    np.testing.assert_allclose(found.face[0], rgba(INFECTION.colour("infected")))
    np.testing.assert_array_equal(found.border[0], [1, 1, 1, 1])


@pytest.mark.parametrize("kind", [Kind.PREDICTION, Kind.CONFIDENCE])
def test_colours_that_say_something_are_on_every_cell(session, kind):
    row = int(session.here()[0])
    session.annotate([row], "infected")
    colour(session, kind)
    found = dots(session, 5.0)
    here = session.here()
    assert len(found.data) == len(here)
    np.testing.assert_allclose(found.face, session.palette.rgba[here] / 255)
    # Who has been annotated is told by the rim then.
    marked = row_of(session, found, row)
    np.testing.assert_allclose(found.border[marked], rgba(INFECTION.colour("infected")))


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in TELLING])
def test_colours_that_say_nothing_in_the_image_stay_on_the_map(session, kind):
    colour(session, kind, "")
    assert len(dots(session, 5.0).data) == 0
    assert label_colours(session) is None


def test_labels_have_the_colours_of_their_cells(session):
    colour(session, Kind.CONFIDENCE)
    made = label_colours(session)
    here = session.here()
    wanted = session.palette.rgba[here] / 255
    tracks = session.cells.track[here]
    np.testing.assert_allclose(made.map(tracks), wanted, atol=1 / 255)
    absent = int(np.setdiff1d(np.arange(1, tracks.max()), tracks)[0])
    np.testing.assert_array_equal(made.map(np.array([0, absent]))[:, 3], [0, 0])


def test_track_ids_beyond_a_table_have_their_colours_too(session):
    from dataclasses import replace

    session.set_cells(replace(session.cells, track=session.cells.track + 100_000), Marks())
    colour(session, Kind.CONFIDENCE)
    made = label_colours(session)
    assert isinstance(made, DirectLabelColormap)
    here = session.here()
    np.testing.assert_allclose(
        made.map(session.cells.track[here]), session.palette.rgba[here] / 255, atol=1 / 255
    )
    assert made.map(np.array([0]))[0, 3] == 0


def test_without_cells_and_without_colours_there_is_nothing(dataset):
    session = Session()
    assert len(dots(session, 5.0).data) == 0
    assert label_colours(session) is None
    session.open(open_dataset(dataset.root, dataset.workspace.path))
    session.palette = SimpleNamespace()
    session.colour_by = ColourBy(Kind.TIME)
    assert label_colours(session) is None
