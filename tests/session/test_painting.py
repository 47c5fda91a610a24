from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_dynaclr import embed, params
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.journal import Mark
from napari_dynaclr.core.shards import feature_names, read_feature
from napari_dynaclr.core.tasks import PALETTE, TASKS, find_task
from napari_dynaclr.session.cells import Cells, Prediction, load_cells
from napari_dynaclr.session.colours import UNKNOWN_COLOUR, ColourBy, Kind, hex_rgba
from napari_dynaclr.session.marks import Given, Marks, read_marks
from napari_dynaclr.session.painting import choices, features_of, paint

GREY = hex_rgba(UNKNOWN_COLOUR)[:3]
UNINFECTED, INFECTED = (hex_rgba(one) for one in PALETTE[:2])
FOVS = ("A/1/0", "A/1/1", "B/1/0")


def some_cells(**more):
    """Two tracks of two time points in each of three FOVs."""
    n = 12
    fov = np.repeat(np.arange(3, dtype=np.int32), 4)
    return Cells(
        fovs=FOVS,
        fov=fov,
        track=np.tile([1, 1, 2, 2], 3),
        t=np.tile([0, 1], 6),
        id=np.tile([1, 2, 3, 4], 3),
        parent=np.full(n, -1),
        position=np.zeros((n, 3), np.float32),
        **more,
    )


def predicted():
    """Predictions of an own order of states; the first FOV has none."""
    probability = np.full((12, 2), np.nan, np.float32)
    probability[4:, 0] = np.linspace(0.1, 0.9, 8)
    probability[4:, 1] = 1 - probability[4:, 0]
    return some_cells(
        predictions={"infection": Prediction(("infected", "uninfected"), probability)}
    )


def marked(*states):
    return Marks().with_marks(
        Mark("A/1/0", i + 1, 1, 0, 0, 0, 0, "infection", s) for i, s in enumerate(states)
    )


@pytest.fixture
def cells(processed):
    return load_cells(processed, "features", Job())


def colours(dataset, cells, kind, name="", marks=None, tasks=TASKS):
    return paint(dataset, cells, ColourBy(kind, name), tasks, marks or Marks())


# -- what a menu offers -------------------------------------------------------


def test_the_menu_offers_what_there_is(processed, cells):
    features = features_of(processed, cells)
    offered = [one.title for one in choices(cells, TASKS, features[:1])]
    assert offered == [
        "time", "track", "link reliability", "state (infection)", "state (division)",
        "state (organelle)", "state (death)", "prediction (infection)",
        "confidence (infection)", "well", "FOV",
        f"feature ({features[0]})",
    ]  # fmt: skip
    assert [one.title for one in choices(Cells(), (), ())] == ["time", "track", "well", "FOV"]


def test_features_are_those_of_the_embedding(processed, cells):
    assert features_of(processed, cells) == feature_names(
        processed.workspace.shard("features", processed["B/1/0"])
    )
    assert features_of(processed, load_cells(processed, "", Job())) == []
    assert features_of(processed, Cells()) == []


# -- kinds --------------------------------------------------------------------


def test_time_runs_from_the_first_to_the_last(processed, cells):
    found = colours(processed, cells, Kind.TIME)
    assert (found.legend.low, found.legend.high) == (0.0, 9.0)
    order = np.argsort(cells.t, kind="stable")
    assert (np.diff(found.index[order]) >= 0).all()
    assert len(np.unique(found.index)) == 10


def test_tracks_of_the_same_number_in_two_fovs_differ(dataset):
    found = colours(dataset, some_cells(), Kind.TRACK).rgba.reshape(3, 2, 2, 4)
    assert (found[:, :, 0] == found[:, :, 1]).all(), "one colour over time"
    assert len(np.unique(found[:, :, 0].reshape(6, 4), axis=0)) == 6


def test_wells_and_fovs_have_colours_of_their_own(dataset):
    well = colours(dataset, some_cells(), Kind.WELL)
    assert [name for name, _ in well.legend.entries] == ["A/1", "B/1"]
    assert (well.rgba[:8] == well.rgba[0]).all()
    assert (well.rgba[8:] == well.rgba[8]).all()
    assert tuple(well.rgba[0]) != tuple(well.rgba[8])
    fov = colours(dataset, some_cells(), Kind.FOV)
    assert [name for name, _ in fov.legend.entries] == list(FOVS)
    assert len(np.unique(fov.rgba, axis=0)) == 3


def test_states_have_the_colours_of_the_task(dataset):
    marks = marked("infected", "uninfected", "unknown")
    found = colours(dataset, some_cells(), Kind.STATE, "infection", marks)
    assert tuple(found.rgba[0]) == INFECTED
    assert tuple(found.rgba[1]) == UNINFECTED
    assert {tuple(one) for one in found.rgba[2:, :3]} == {GREY}, "unknown, and not annotated"
    assert [name for name, _ in found.legend.entries] == ["uninfected", "infected"]


def test_states_that_only_the_data_know_have_a_colour_too(dataset):
    marks = marked("infected", "weird", "weirder")
    found = colours(dataset, some_cells(), Kind.STATE, "infection", marks)
    assert [name for name, _ in found.legend.entries] == [
        "uninfected", "infected", "weird", "weirder",
    ]  # fmt: skip
    assert len({tuple(one) for one in found.rgba[:3]}) == 3
    own = colours(dataset, some_cells(), Kind.STATE, "own", Marks(), tasks=())
    assert own.legend.entries == ()
    assert {tuple(one) for one in own.rgba[:, :3]} == {GREY}


def test_more_states_than_colours_are_survived(dataset):
    many = [f"state {i:02}" for i in range(30)]
    cells = Cells(
        fovs=("A/1/0",), fov=np.zeros(30, np.int32), track=np.arange(30), t=np.zeros(30, np.int64),
        id=np.arange(1, 31), parent=np.full(30, -1), position=np.zeros((30, 3), np.float32),
    )  # fmt: skip
    found = colours(dataset, cells, Kind.STATE, "infection", marked(*many))
    assert len(found.legend.entries) == 32
    assert not {GREY} & {tuple(one) for one in found.rgba[:, :3]}


def test_a_state_has_one_colour_whether_given_or_predicted(dataset):
    cells = predicted()
    marks = marked("infected", "uninfected", "weird")
    given = colours(dataset, cells, Kind.STATE, "infection", marks)
    found = colours(dataset, cells, Kind.PREDICTION, "infection", marks)
    assert given.legend.entries == found.legend.entries
    assert {tuple(one) for one in found.rgba[:4, :3]} == {GREY}, "the FOV is not predicted"
    infected = cells.predictions["infection"].codes[4:] == 0
    assert {tuple(one) for one in found.rgba[4:][infected]} == {INFECTED}
    assert {tuple(one) for one in found.rgba[4:][~infected]} == {UNINFECTED}


def test_confidence_spans_all_its_values(dataset):
    cells = predicted()
    found = colours(dataset, cells, Kind.CONFIDENCE, "infection")
    confidence = cells.predictions["infection"].confidence
    assert (found.legend.low, found.legend.high) == pytest.approx(
        (np.nanmin(confidence), np.nanmax(confidence))
    )
    assert {tuple(one) for one in found.rgba[:4, :3]} == {GREY}
    assert found.index[4 + np.argmax(confidence[4:])] == 255


def test_a_feature_is_read_of_every_fov(processed, cells):
    name = features_of(processed, cells)[3]
    found = colours(processed, cells, Kind.FEATURE, name)
    values = np.concatenate(
        [read_feature(processed.workspace.shard("features", fov), 3) for fov in processed.fovs]
    )
    assert found.legend.low == pytest.approx(np.percentile(values, 1), rel=1e-5)
    assert found.legend.high == pytest.approx(np.percentile(values, 99), rel=1e-5)
    assert np.corrcoef(found.index, np.clip(values, found.legend.low, found.legend.high))[
        0, 1
    ] == pytest.approx(1, abs=1e-3)


def test_a_fov_that_is_not_embedded_is_grey(processed, cells):
    name = features_of(processed, cells)[0]
    processed.workspace.forget("embeddings.features", processed["A/1/0"])
    found = colours(processed, cells, Kind.FEATURE, name)
    rows = cells.rows_of("A/1/0")
    assert {tuple(one) for one in found.rgba[rows, :3]} == {GREY}
    assert (found.index[rows.stop :] < 256).all()


def test_features_go_by_the_node_whatever_else_is_there(processed, cells):
    """A cell was deleted by hand since they were made."""
    fewer = load_cells(processed.select(["B/1/0"]), "features", Job())
    shorter = Cells(**{k: v[1:] if isinstance(v, np.ndarray) else v
                       for k, v in vars(fewer).items() if not k.startswith("_")})  # fmt: skip
    name = features_of(processed, cells)[0]
    found, whole = (colours(processed, one, Kind.FEATURE, name) for one in (shorter, fewer))
    assert found.legend.title.startswith("feature")
    assert np.abs(found.index - whole.index[1:]).max() <= 2  # the ends of the scale may move


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Kind.PREDICTION, "death"), (Kind.CONFIDENCE, ""), (Kind.FEATURE, "no such feature")],
)
def test_what_is_not_there_is_shown_as_time(processed, cells, kind, name):
    found = colours(processed, cells, kind, name)
    np.testing.assert_array_equal(found.rgba, colours(processed, cells, Kind.TIME).rgba)
    assert found.legend.title == "time"


@pytest.mark.parametrize("kind", Kind)
def test_no_cells_have_no_colours(dataset, kind):
    assert colours(dataset, Cells(), kind, "infection").rgba.shape == (0, 4)


# -- in a job -----------------------------------------------------------------


def test_states_that_a_job_paints_stay_what_they_were(dataset):
    """The window enters a click while a job reads the clicks before."""
    n = 6
    cells = Cells(
        fovs=("A/1/0",), fov=np.zeros(n, np.int32), track=np.arange(n), t=np.zeros(n, np.int64),
        id=np.arange(n), parent=np.full(n, -1), position=np.zeros((n, 3), np.float32),
    ).index()  # fmt: skip
    marks = Marks()
    for node in (0, 2):
        marks.put("A/1/0", node, "infection", Given("infected", False))
    before = colours(dataset, cells, Kind.STATE, "infection", marks).index
    click = Mark("A/1/0", 4, 4, 0, 0.0, 0.0, 0.0, "infection", "infected", "")
    after = marks.with_marks([click, replace(click, id=0, state="")])
    found = colours(dataset, cells, Kind.STATE, "infection", marks).index
    np.testing.assert_array_equal(found, before)
    later = colours(dataset, cells, Kind.STATE, "infection", after).index
    assert np.flatnonzero(later != before).tolist() == [0, 4]


def test_marks_and_cells_of_disk_are_painted(processed, cells):
    marks = read_marks(processed)
    found = colours(processed, cells, Kind.STATE, "infection", marks)
    states = [marks.get(cells.name(i), int(cells.id[i]), "infection") for i in range(len(cells))]
    task = find_task("infection")
    expected = [(*hex_rgba(task.colour(s.state))[:3],) if s else GREY for s in states]
    assert [tuple(one) for one in found.rgba[:, :3]] == expected


def test_an_embedding_made_anew_is_the_one_that_is_read(processed):
    one = processed.select(["B/1/0"])
    embed(one, params("embed"))
    assert features_of(processed, load_cells(one, "features", Job()))
