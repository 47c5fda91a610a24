from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr import evaluate, params
from napari_dynaclr.core.atomic import write_csv
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.tables import EVENT_COLUMNS, read_tracks
from napari_dynaclr.evaluation.events import Divisions, by_rank, claim, of_tracks

SCALE = (1.5, 0.5, 0.5)


def divisions(*rows):
    """Divisions of one place each: (t, y, x) in pixels."""
    return Divisions(
        np.array([t for t, _, _ in rows]),
        [np.array([[0.0, y, x]]) * SCALE for _, y, x in rows],
        pd.DataFrame(columns=["t", "z", "y", "x"], dtype=float),
    )


def events(*rows):
    table = pd.DataFrame(rows, columns=["t", "y", "x"]).assign(z=0.0)
    score = np.arange(len(table), 0, -1, dtype=float)
    return table.assign(score=score, rank=range(1, len(table) + 1), id=-1, track_id=-1)[
        EVENT_COLUMNS
    ]


def test_divisions_are_nodes_that_two_come_from():
    tracks = pd.DataFrame(
        [  # track, t, id, parent of the track, parent, y, x
            (1, 0, 10, -1, -1, 5.0, 5.0),
            (1, 1, 11, -1, 10, 6.0, 5.0),
            (2, 2, 22, 1, 11, 4.0, 5.0),
            (3, 2, 32, 1, 11, 8.0, 5.0),
            (4, 3, 43, 2, 22, 4.0, 5.0),  # goes on under another number
        ],
        columns=["track_id", "t", "id", "parent_track_id", "parent_id", "y", "x"],
    ).assign(z=0.0)
    found = of_tracks(tracks, SCALE)
    assert found.t.tolist() == [1]
    assert found.places[0].tolist() == [[0, 3.0, 2.5], [0, 2.0, 2.5], [0, 4.0, 2.5]]


def test_each_division_counts_once_for_the_first_event_near_it():
    known = divisions((5, 100, 100), (9, 100, 100))
    listed = events(
        (5, 110, 100),  # 5 um away
        (6, 100, 100),  # the same division: wrong
        (8, 100, 100),  # the other one, a frame early
        (5, 300, 100),  # nothing is there
        (2, 100, 100),  # too early
    )
    right = claim(listed, known, SCALE, radius=10, window=1)
    assert right.tolist() == [True, False, True, False, False]
    assert claim(listed, known, SCALE, 4.9, 1).tolist() == [False, True, True, False, False]
    assert claim(listed, known, SCALE, 10, 0).tolist() == [True, False, False, False, False]


def test_an_event_takes_the_division_nearest_in_time():
    known = divisions((5, 50, 50), (7, 50, 50))
    right = claim(events((6, 50, 50), (7, 50, 50)), known, SCALE, 10, 2)
    assert right.tolist() == [True, True]


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_precision_and_recall_by_rank_follow_from_their_definitions(right, missed):
    total = max(sum(right) + missed, 1)
    curve = by_rank(np.array(right), total)
    for i, row in enumerate(curve.itertuples(), start=1):
        assert row.precision == pytest.approx(sum(right[:i]) / i)
        assert row.recall == pytest.approx(sum(right[:i]) / total)


@pytest.fixture
def listed(dataset, truth):
    """Events that are the true divisions, and as many wrong ones after them; how many there are."""
    counts = {}
    for fov in dataset.fovs:
        true = of_tracks(read_tracks(truth / fov.name / "tracks.csv"), fov.scale)
        rows = [
            (t, *(places.mean(axis=0) / fov.scale)[1:])
            for t, places in zip(true.t, true.places, strict=True)
        ]
        wrong = [(t, *(np.array([y, x]) + 90) % 192) for t, y, x in rows]
        counts[fov.name] = len(rows)
        dataset.workspace.prepare(dataset.channels)
        table = events(*rows, *wrong)
        table["score"] = np.r_[np.full(len(rows), 2.0), np.full(len(wrong), 1.0)]
        write_csv(dataset.workspace.events_csv("tap", fov), table)
        dataset.workspace.mark_complete("events.tap", fov, "key")
    return counts


def test_a_perfect_list_has_all_divisions_first(dataset, truth, listed, figures):
    total = sum(listed.values())
    assert total > 3
    given_ = params("evaluate", "events", truth=str(truth), first=total, radius=10.0, window=0.0)
    table = evaluate(dataset, given_).set_index("metric")["value"]
    assert table["divisions"] == total
    assert table[f"precision_at_{total}"] == table[f"recall_at_{total}"] == 1
    assert table["average_precision"] == pytest.approx(1)
    assert table["recall"] == 1
    assert table["precision"] == pytest.approx(0.5, abs=0.1)
    assert table["chance_places"] < table["chance_cells"] < 0.2
    assert table["chance_places"] > 0
    folder = dataset.workspace.path / "evaluation"
    ranks = pd.read_csv(folder / "events-tap-truth-ranks.csv")
    assert ranks["right"].iloc[:total].all()
    assert (folder / "events.png").stat().st_size > 10_000
    by_rank_, by_recall = figures[0].axes
    assert by_rank_.get_ylabel() == "precision"
    assert by_recall.get_xlabel() == "recall"


def test_asked_for_more_than_there_are_divisions_a_perfect_list_scores_what_is_possible(
    dataset, truth, listed
):
    total = sum(listed.values())
    given_ = params("evaluate", "events", truth=str(truth), first=2 * total, radius=10.0)
    table = evaluate(dataset, given_).set_index("metric")["value"]
    assert table["best_possible"] == 0.5
    assert table[f"recall_at_{2 * total}"] == 1


def test_random_places_score_what_is_said_of_chance(dataset, truth, listed):
    fov = dataset["A/1/0"]
    one = dataset.select([fov.name])
    true = of_tracks(read_tracks(truth / fov.name / "tracks.csv"), fov.scale)
    given_ = params("evaluate", "events", truth=str(truth), radius=20.0, window=60.0)
    told = evaluate(one, given_).set_index("metric")["value"]["chance_places"]
    generator = np.random.default_rng(7)
    count = 5000
    t = generator.integers(0, fov.shape[0] - 1, count)
    places = generator.uniform(0, 191, (count, 2)) * fov.scale[1:]
    near = np.zeros(count, bool)
    for when, at in zip(true.t, true.places, strict=True):
        far = np.linalg.norm(places[:, None] - at[None, :, 1:], axis=2).min(axis=1)
        near |= (np.abs(t - when) <= 2) & (far <= 20)
    assert told == pytest.approx(near.mean(), abs=0.02)


def test_own_tracks_and_annotations_can_stand_for_the_truth(processed, truth):
    home = processed.workspace
    for fov in processed.fovs:
        write_csv(home.events_csv("tap", fov), events((3, 90, 90)))
        home.mark_complete("events.tap", fov, "key")
    table = evaluate(processed, params("evaluate", "events")).set_index("metric")["value"]
    tracks = [home.tracks(fov) for fov in processed.fovs]
    ours = sum(len(of_tracks(one, (1, 1, 1)).t) for one in tracks)
    assert table["divisions"] == ours
    annotations = params("evaluate", "events", known="annotations")
    with pytest.raises(InvalidInput, match="No cell is annotated as dividing"):
        evaluate(processed, annotations)


def test_bad_input_is_said_in_one_line(dataset, truth, listed, make_plate):
    with pytest.raises(MissingInput, match=r"No likely events 'mine' found.*run 'find' first"):
        evaluate(dataset, params("evaluate", "events", events="mine", truth=str(truth)))
    with pytest.raises(MissingInput, match="run 'track' first"):
        evaluate(dataset, params("evaluate", "events"))
    other = make_plate("other.zarr", {"A/1/0": np.ones((3, 1, 1, 8, 8), np.uint16)})
    with pytest.raises(InvalidInput, match="give the truth of this dataset"):
        evaluate(dataset, params("evaluate", "events", truth=str(other)))
