from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr import project
from napari_dynaclr.annotation.queue import (
    REVIEW_COLUMNS,
    disagreements,
    most_uncertain,
    review,
    unlabelled_clusters,
)
from napari_dynaclr.core.annotations import current_annotations
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.journal import Journal, Mark
from napari_dynaclr.core.registry import parse

NOBODY = np.zeros(6, bool)


def two(*first):
    return np.array([(p, 1 - p) for p in first])


# -- the most uncertain ------------------------------------------------------------


def test_the_closest_call_comes_first_and_each_track_once():
    probability = two(0.9, 0.48, 0.55, 0.51, 0.2, 0.6)
    rows, scores = most_uncertain(probability, NOBODY, [1, 1, 2, 2, 3, 4], 10)
    assert rows.tolist() == [3, 1, 5, 4]
    np.testing.assert_allclose(scores, [0.98, 0.96, 0.8, 0.4])
    assert most_uncertain(probability, NOBODY, [1, 1, 2, 2, 3, 4], 2).rows.tolist() == [3, 1]


def test_what_is_annotated_is_not_asked_about_but_its_track_is():
    annotated = np.array([False, False, False, True, False, False])
    rows, _ = most_uncertain(two(0.9, 0.48, 0.55, 0.51, 0.2, 0.6), annotated, list("aabbcd"), 2)
    assert rows.tolist() == [1, 2]


def test_of_equal_margins_the_higher_entropy_then_the_first():
    probability = np.array(
        [
            [0.5, 0.5, 0.0],
            [0.4, 0.4, 0.2],
            [0.5, 0.5, 0.0],
            [0.3, 0.3, 0.4],
            [np.nan] * 3,
            [1, 0, 0],
        ]
    )
    rows, _ = most_uncertain(probability, NOBODY, range(6), 10)
    assert rows.tolist() == [1, 0, 2, 3, 5]


@pytest.mark.parametrize("count", [0, -1])
def test_none_asked_for_or_none_left_is_none(count):
    assert len(most_uncertain(two(*[0.5] * 6), NOBODY, range(6), count).rows) == 0
    assert len(most_uncertain(two(*[0.5] * 6), ~NOBODY, range(6), 5).rows) == 0
    assert len(unlabelled_clusters(two(*[0.5] * 6), ~NOBODY, 5).rows) == 0
    assert len(unlabelled_clusters(two(*[0.5] * 6), NOBODY, count).rows) == 0


# -- clusters ----------------------------------------------------------------------

CENTRES = np.array([[0, 0], [50, 0], [0, 50], [50, 50]])
SIZES = [400, 100, 300, 50]


def blobs():
    generator = np.random.default_rng(0)
    group = np.repeat(range(4), SIZES)
    return CENTRES[group] + generator.normal(size=(len(group), 2)), group


def test_groups_without_annotations_come_first_the_largest_before_the_others():
    place, group = blobs()
    annotated = np.zeros(len(place), bool)
    annotated[np.flatnonzero(group == 0)[:4]] = True  # 1 %
    annotated[np.flatnonzero(group == 3)[:5]] = True  # 10 %
    rows, scores = unlabelled_clusters(place, annotated, 4, clusters=4)
    assert group[rows].tolist() == [2, 1, 0, 3]
    np.testing.assert_allclose(scores, np.array([300, 100, 400, 50]) / 850)
    assert not annotated[rows].any()
    for row in rows:
        distance = np.linalg.norm(place - place[group == group[row]].mean(axis=0), axis=1)
        assert distance[row] <= np.sort(distance[~annotated])[1], "the most typical, or the next"
    assert rows.tolist() == unlabelled_clusters(place, annotated, 4, clusters=4).rows.tolist()


def test_a_group_that_is_annotated_throughout_offers_no_cell():
    place, group = blobs()
    rows, _ = unlabelled_clusters(place, group == 1, 4, clusters=4)
    assert sorted(group[rows]) == [0, 2, 3]


def test_cells_that_all_lie_in_one_place_or_nowhere_are_no_trouble():
    assert len(unlabelled_clusters(np.zeros((30, 2)), np.zeros(30, bool), 5).rows) == 1
    lost = np.full((30, 2), np.nan)
    assert len(unlabelled_clusters(lost, np.zeros(30, bool), 5).rows) == 0
    lost[7] = 0
    assert unlabelled_clusters(lost, np.zeros(30, bool), 5).rows.tolist() == [7]


def test_few_annotations_count_among_many_cells():
    generator = np.random.default_rng(0)
    group = generator.integers(0, 4, 100_000)
    place = (CENTRES[group] + generator.normal(size=(len(group), 2))).astype(np.float32)
    annotated = np.zeros(len(place), bool)
    for one in range(3):
        annotated[np.flatnonzero(group == one)[:5]] = True
    rows, _ = unlabelled_clusters(place, annotated, 1, clusters=4)
    assert group[rows].tolist() == [3]


# -- disagreements -----------------------------------------------------------------


def test_the_most_confident_disagreement_comes_first():
    predicted = np.array(["a", "b", "a", "b", "a", "b"])
    annotated = np.array(["b", "a", "a", "", "b", "unknown"])
    confidence = np.array([0.6, 0.9, 0.99, 0.99, 0.8, 0.99])
    rows, scores = disagreements(predicted, annotated, confidence, 10)
    assert rows.tolist() == [1, 4, 0]
    assert scores.tolist() == [0.9, 0.8, 0.6]
    assert disagreements(predicted, annotated, confidence, 2).rows.tolist() == [1, 4]
    each = disagreements(predicted, annotated, confidence, 9, ["x", "y", "z", "z", "x", "z"])
    assert each.rows.tolist() == [1, 4], "tracks y and x"


# -- of a dataset ------------------------------------------------------------------


def predictions(dataset):
    return pd.read_csv(dataset.workspace.predictions("infection"))


def test_the_most_uncertain_cells_of_a_dataset(processed):
    found = review(processed, "infection", "uncertain", 8)
    assert list(found) == REVIEW_COLUMNS
    assert len(found) == 8
    assert not found.duplicated(["fov_name", "track_id"]).any()
    assert found["score"].is_monotonic_decreasing
    annotated = current_annotations(processed)
    merged = found.merge(annotated[["fov_name", "id"]], on=["fov_name", "id"])
    assert merged.empty
    table = predictions(processed).merge(annotated[["fov_name", "id"]], how="left", indicator=True)
    lowest = table.loc[table["_merge"] == "left_only", "confidence"].min()
    first = found.merge(table, on=["fov_name", "id"], suffixes=("", "_2")).iloc[0]
    assert first["confidence"] == pytest.approx(lowest)
    assert first["reason"] == f"{first['predicted_infection']} at {100 * lowest:.0f} %"


def test_disagreements_of_a_dataset(processed):
    table = predictions(processed).sort_values("confidence", kind="stable")
    sure = table.iloc[-1]
    other = "infected" if sure["predicted_infection"] == "uninfected" else "uninfected"
    key = processed.workspace.key("tracks", processed[sure["fov_name"]])
    node = (sure["fov_name"], int(sure["id"]), int(sure["track_id"]), int(sure["t"]))
    place = (float(sure["z"]), float(sure["y"]), float(sure["x"]))
    Journal(processed.workspace.journal).add([Mark(*node, *place, "infection", other, key)])
    first = review(processed, "infection", "disagreement", 3).iloc[0]
    assert (first["fov_name"], first["id"]) == (sure["fov_name"], sure["id"])
    assert first["score"] == pytest.approx(sure["confidence"])
    assert first["reason"].startswith(f"annotated {other}, predicted {sure['predicted_infection']}")


def test_groups_of_a_dataset_need_a_map_of_all_its_fovs(processed):
    found = review(processed, "infection", "cluster", 5)
    assert len(found) == 5
    assert found["reason"].str.fullmatch(r"group of \d+\.\d % of the cells").all()
    project(processed.select(["A/1/0"]), parse("project", "pca", {"components": 3}))
    with pytest.raises(InvalidInput, match="No map covers all these FOVs: run 'project'"):
        review(processed, "infection", "cluster", 5)
    assert len(review(processed.select(["A/1/0"]), "infection", "cluster", 5)) == 5


def test_groups_can_be_asked_for_before_anything_is_annotated(processed):
    assert len(review(processed, "shape", "cluster", 4)) == 4


@pytest.mark.parametrize("by", ["uncertain", "disagreement"])
def test_without_predictions_it_names_the_stage_to_run(processed, by):
    with pytest.raises(MissingInput, match=r"No predictions of 'death' .* run 'classify' first"):
        review(processed, "death", by)


def test_without_an_embedding_or_a_map_it_names_the_stage_to_run(dataset):
    with pytest.raises(MissingInput, match="run 'embed' first"):
        review(dataset, "infection")
    with pytest.raises(MissingInput, match="No map found: run 'project' first"):
        review(dataset, "infection", "cluster")


def test_wrong_wishes_are_refused(processed):
    with pytest.raises(InvalidInput, match="choose uncertain, cluster or disagreement"):
        review(processed, "infection", "luck")
    with pytest.raises(InvalidInput, match="ask for one cell at least"):
        review(processed, "infection", count=0)
