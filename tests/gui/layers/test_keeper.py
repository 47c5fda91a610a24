from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Points
from napari.utils.colormaps import CyclicLabelColormap
from plain import plain_bench, rest, show, shut

from napari_dynaclr.core.registry import params
from napari_dynaclr.gui.workbench import Workbench
from napari_dynaclr.session import Scope
from napari_dynaclr.session.colours import ColourBy, Kind

ALL = ["Phase", "Nuclei", "Membrane", "Sensor", "cells", "tracks", "annotations"]
OF_TASK = (Kind.STATE, Kind.PREDICTION, Kind.CONFIDENCE)
ROLES = ["channel Phase", "channel Nuclei", "cells", "tracks", "marks"]


@pytest.fixture
def told(monkeypatch):
    """What the user is told has gone wrong."""
    lines = []
    monkeypatch.setattr(Workbench, "explain", lambda _self, error: lines.append(str(error)))
    return lines


@pytest.fixture
def empty(qtbot, told):
    made = plain_bench()
    yield made
    shut(made, qtbot)
    assert told == []


@pytest.fixture
def bench(empty, processed, qtbot):
    return show(empty, qtbot, processed.root, "B/1/0", processed.workspace.path)


def names(bench):
    return [layer.name for layer in bench.viewer.layers]


def use_everything(bench, qtbot):
    """Go through everything that touches layers."""
    session, dims = bench.session, bench.viewer.dims
    for kind in Kind:
        bench.colour(ColourBy(kind, "infection" if kind in OF_TASK else ""))
        rest(bench, qtbot)
    for t in (0, 9, 3):
        if dims.ndim > 3:
            dims.set_point(dims.ndim - 4, t)
        session.set_frame(t)
    here = session.here()
    session.select(here[:3])
    session.annotate(here[:1], "infected")
    if len(here):
        session.focus(int(here[0]))
    for scope in (Scope.WELL, Scope.FOV):
        bench.set_scope(scope)
        rest(bench, qtbot)
    for name in ("B/1/1", "B/1/0"):
        bench.show_fov(name)
        rest(bench, qtbot)
    assert session.fov.name == "B/1/0"


# -- what there is --------------------------------------------------------


def test_a_dataset_that_is_opened_shows_all_that_is_there(bench):
    assert names(bench) == ALL
    assert all(bench.layers.owns(layer) for layer in bench.viewer.layers)
    assert bench.viewer.canvas.overlays.scale_bar.visible
    assert bench.viewer.dims.axis_labels == ("t", "z", "y", "x")


def test_everything_lies_where_it_belongs(bench):
    fov, session = bench.session.fov, bench.session
    for layer in bench.viewer.layers:
        np.testing.assert_allclose(layer.scale, (1, *fov.scale))
        assert [str(unit) for unit in layer.units] == ["pixel"] + ["micrometer"] * 3
    t = session.frame
    labels, tracks = bench.layers.layer("cells"), bench.layers.layer("tracks")
    for row in session.here():
        z, y, x = session.cells.position[row].round().astype(int)
        track = session.cells.track[row]
        assert labels.data[t, z, y, x] in (0, track)  # a hollow cell has its centre outside
        vertex = tracks.data[(tracks.data[:, 0] == track) & (tracks.data[:, 1] == t)]
        np.testing.assert_allclose(vertex[0, 2:], session.cells.position[row], rtol=1e-6)


def test_labels_and_marks_cannot_be_edited_by_mistake(bench, qtbot):
    for name in ("B/1/0", "A/1/0"):
        bench.show_fov(name)
        rest(bench, qtbot)
        bench.viewer.dims.set_point(0, 7)
        assert not bench.layers.layer("cells").editable
        assert not bench.layers.layer("marks").editable


def test_the_active_layer_stays_what_it_was(bench, qtbot):
    own = bench.viewer.add_points(np.zeros((1, 2)), name="mine")
    bench.viewer.layers.selection.active = own
    bench.layers.readmit({"cells"})
    bench.viewer.layers.remove("cells")
    bench.viewer.layers.selection.active = own
    bench.layers.readmit({"cells"})
    bench.show_fov("B/1/1")
    rest(bench, qtbot)
    assert "cells" in names(bench)
    assert bench.viewer.layers.selection.active is own


# -- colours --------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.TRACK, Kind.PREDICTION])
def test_tracks_have_the_colours_of_the_session(bench, qtbot, kind):
    bench.colour(ColourBy(kind, "infection" if kind in OF_TASK else ""))
    rest(bench, qtbot)
    layer, cells = bench.layers.layer("tracks"), bench.session.cells
    rows = {
        (track, t): row for row, (track, t) in enumerate(zip(cells.track, cells.t, strict=True))
    }
    shown = [rows[int(track), int(t)] for track, t in layer.data[:, :2]]
    wanted = bench.session.palette.rgba[shown] / 255
    np.testing.assert_allclose(layer.track_colors, wanted, atol=1e-6)
    assert len(np.unique(wanted, axis=0)) > 1


def test_labels_and_dots_have_them_where_they_say_something(bench, qtbot):
    labels, marks = bench.layers.layer("cells"), bench.layers.layer("marks")
    bench.session.set_task("death")  # no marks of its own
    plain = len(marks.data)
    bench.colour(ColourBy(Kind.CONFIDENCE, "infection"))
    rest(bench, qtbot)
    session, here = bench.session, bench.session.here()
    wanted = session.palette.rgba[here] / 255
    np.testing.assert_allclose(labels.colormap.map(session.cells.track[here]), wanted, atol=1 / 255)
    assert len(marks.data) == len(here) > plain
    np.testing.assert_allclose(marks.face_color, wanted, atol=1e-6)
    bench.viewer.dims.set_point(0, 9)
    assert len(marks.data) == len(session.here())
    assert set(marks.data[:, 0]) == {9}
    bench.colour(ColourBy(Kind.TIME))
    rest(bench, qtbot)
    assert isinstance(labels.colormap, CyclicLabelColormap)
    assert len(np.unique(labels.colormap.map(session.cells.track[here]), axis=0)) > 3


def test_hidden_layers_are_not_drawn_and_catch_up(bench, qtbot):
    labels, marks = bench.layers.layer("cells"), bench.layers.layer("marks")
    for layer in (labels, marks):
        layer.visible = False
    before, count = labels.colormap, len(marks.data)
    bench.colour(ColourBy(Kind.CONFIDENCE, "infection"))
    rest(bench, qtbot)
    assert labels.colormap is before
    assert len(marks.data) == count
    for layer in (labels, marks):
        layer.visible = True
    here = bench.session.here()
    wanted = bench.session.palette.rgba[here] / 255
    tracks = bench.session.cells.track[here]
    np.testing.assert_allclose(labels.colormap.map(tracks), wanted, atol=1 / 255)
    assert len(marks.data) == len(here)


# -- what the user does with them -----------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_one_that_is_deleted_stays_away_and_is_missed_by_nobody(bench, qtbot, role):
    name = bench.layers.layer(role).name
    bench.viewer.layers.remove(name)
    assert bench.layers.layer(role) is None
    use_everything(bench, qtbot)
    assert name not in names(bench)
    assert len(names(bench)) == len(ALL) - 1


def test_all_can_be_deleted(bench, qtbot):
    bench.viewer.layers.clear()
    use_everything(bench, qtbot)
    assert names(bench) == []
    show(bench, qtbot, bench.session.dataset.root, "B/1/0", bench.session.dataset.workspace.path)
    assert names(bench) == ALL  # opened again, they are back


def test_deleted_results_come_back_when_they_are_made_anew(bench, qtbot):
    for name in ("cells", "tracks", "annotations"):
        bench.viewer.layers.remove(name)
    bench.run_stage("track", params("track", "laptrack", max_distance=11.0), ["B/1/0"])
    rest(bench, qtbot)
    assert names(bench) == ALL


def test_they_can_be_renamed_moved_and_hidden(bench, qtbot):
    layers = bench.viewer.layers
    for role in ROLES:
        bench.layers.layer(role).name = f"my {role}"
    layers.move(layers.index("my marks"), 0)
    layers.move(layers.index("my tracks"), 0)
    bench.layers.layer("cells").visible = False
    bench.layers.layer("channel Nuclei").opacity = 0.3
    bench.layers.layer("channel Nuclei").contrast_limits = (3, 33)
    before = names(bench)
    use_everything(bench, qtbot)
    assert names(bench) == before
    assert not bench.layers.layer("cells").visible
    assert bench.layers.layer("channel Nuclei").opacity == 0.3
    assert tuple(bench.layers.layer("channel Nuclei").contrast_limits) == (3, 33)


def test_the_users_own_layers_are_left_alone(bench, qtbot):
    own = bench.viewer.add_image(np.ones((192, 192)), name="mine")
    more = bench.viewer.add_image(np.ones((2, 3, 4, 8, 8)), name="five axes")
    assert not bench.layers.owns(own)
    assert not bench.layers.owns(None)
    use_everything(bench, qtbot)
    bench.close_dataset()
    rest(bench, qtbot)
    assert names(bench) == ["mine", "five axes"]
    assert list(bench.viewer.layers) == [own, more]


def test_a_layer_of_the_users_of_the_same_name_is_not_taken_for_ours(empty, processed, qtbot):
    own = empty.viewer.add_points(np.zeros((1, 2)), name="tracks")
    show(empty, qtbot, processed.root, "B/1/0", processed.workspace.path)
    assert isinstance(own, Points)
    assert own in empty.viewer.layers
    assert empty.layers.layer("tracks") is not own
    empty.close_dataset()
    assert list(empty.viewer.layers) == [own]


# -- from FOV to FOV ------------------------------------------------------


def test_another_fov_takes_the_place_of_the_one_before(bench, qtbot):
    layers = list(bench.viewer.layers)
    before = {role: bench.layers.layer(role).data for role in ROLES}
    bench.viewer.dims.set_point(0, 6)
    bench.show_fov("A/1/0")
    rest(bench, qtbot)
    assert list(bench.viewer.layers) == layers  # the same layers: what the user set stays
    for role in ROLES[:4]:
        assert bench.layers.layer(role).data is not before[role]
    session, tracks = bench.session, bench.layers.layer("tracks")
    assert set(tracks.data[:, 0]) == set(session.cells.track)
    assert session.frame == 6
    np.testing.assert_array_equal(
        bench.layers.layer("channel Nuclei").data[6], session.fov.image("Nuclei")[6].compute()
    )


def test_a_fov_without_results_has_channels_only_and_gets_the_rest_later(empty, dataset, qtbot):
    from napari_dynaclr import segment, track

    one = dataset.select(["B/1/0"])
    segment(one)
    track(one)
    show(empty, qtbot, dataset.root, "B/1/0", dataset.workspace.path)
    assert names(empty) == ALL
    empty.show_fov("B/1/1")
    rest(empty, qtbot)
    assert names(empty) == ALL[:4]
    use_everything(empty, qtbot)
    assert names(empty) == ALL


def test_the_dataset_that_is_closed_takes_its_layers_with_it(bench, qtbot):
    bench.close_dataset()
    rest(bench, qtbot)
    assert names(bench) == []
    assert bench.layers.scene is None


@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1, 64, 80), (3, 1, 6, 64, 80), (1, 1, 4, 64, 80)],
    ids=["one plane", "3D", "one time point"],
)
def test_datasets_of_every_shape_are_shown_and_worked_on(empty, make_plate, qtbot, shape):
    # Three round nuclei of 12 um.
    image = np.full(shape, 100, np.uint16)
    z, y, x = np.indices(shape[2:])
    for cy, cx in ((20, 20), (20, 60), (45, 40)):
        far = ((z - shape[2] // 2) * 2.0) ** 2 + ((y - cy) * 0.5) ** 2 + (x - cx) ** 2
        image[:, :, far < 36] = 1000 - 20 * far[far < 36].astype(np.uint16)
    path = make_plate("any.zarr", {"A/1/0": image}, ("Nuclei",), (2.0, 0.5, 1.0))
    bench = show(empty, qtbot, path)
    bench.run_stage("segment", params("segment", diameter=12.0), ["A/1/0"])
    rest(bench, qtbot)
    bench.run_stage("track", params("track"), ["A/1/0"])
    rest(bench, qtbot)
    assert names(bench) == ["Nuclei", "cells", "tracks", "annotations"]
    session = bench.session
    assert len(session.here()) == 3
    for layer in bench.viewer.layers:
        np.testing.assert_allclose(layer.scale, (1, 2.0, 0.5, 1.0))
    session.focus(int(session.here()[0]))
    session.annotate(session.here()[:1], "infected")
    bench.colour(ColourBy(Kind.STATE, "infection"))
    rest(bench, qtbot)
    bench.viewer.dims.ndisplay = 3
    session.set_frame(shape[0] - 1)
    rest(bench, qtbot)
    assert len(bench.layers.layer("marks").data) == len(session.here())
