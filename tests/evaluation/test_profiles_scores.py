from __future__ import annotations

from itertools import permutations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier

from napari_dynaclr import evaluate, open_dataset
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.registry import parse
from napari_dynaclr.core.shards import write_shard
from napari_dynaclr.evaluation.retrieving import (
    average_precision,
    chance,
    leave_one_out,
    retrieve,
    shuffled,
    vote,
)
from napari_dynaclr.profiling.pooling import Profiles, align


@pytest.fixture
def profiled(make_plate):
    """Return a function that puts a profile of fields and wells in a workspace."""

    def make(vector, rows="ABC", columns=4, fields=3, times=1, plates=("p",), condition=None,
             aligned=False, name="mine", seed=0, fovs=("A/1/0",)):  # fmt: skip
        rng = np.random.default_rng(seed)
        images = {fov: np.ones((1, 1, 1, 8, 8)) for fov in fovs}
        dataset = open_dataset(make_plate(f"{name}.zarr", images))
        dataset.workspace.prepare(dataset.channels)
        table = pd.DataFrame(
            [
                (plate, f"{row}/{column + 1}", row, str(column + 1), field, t)
                for plate in plates for row in rows for column in range(columns)
                for field in range(fields) for t in range(times)
            ],
            columns=["plate", "well", "row", "column", "field", "t"],
        )  # fmt: skip
        known = condition or (lambda well: "xyz"[("ABC".index(well[0]) + int(well[2:])) % 3])
        table["condition"] = table["well"].map(known)
        table["fov_name"] = table["well"] + "/" + table["field"].astype(str)
        matrix = np.array([vector(row, rng) for row in table.itertuples()], np.float32)

        def write(level, obs, values):
            obs.index = obs.index.astype(str)
            shard = ad.AnnData(values, obs=obs, uns={"aligned": aligned})
            write_shard(dataset.workspace.profile("mine") / f"{level}.zarr", shard)

        write("field", table.drop(columns="field"), matrix)
        wells = table.drop_duplicates(["plate", "well"]).drop(columns=["field", "fov_name", "t"])
        number = table.groupby(["plate", "well"], sort=False).ngroup()
        means = pd.DataFrame(matrix).groupby(number).mean().to_numpy(np.float32)
        write("well", wells.reset_index(drop=True), means)
        for fov in dataset.fovs:
            dataset.workspace.mark_complete("profiles.mine", fov, "key")
        return dataset

    return make


def biology(row, rng):
    """A profile that knows the condition and nothing else."""
    return np.eye(4)["xyz".index(row.condition)] + 0.1 * rng.normal(size=4)


def noise(_row, rng):
    return rng.normal(size=4)


def own_of(row):
    """Random numbers of a well's own, the same on every plate."""
    return np.random.default_rng([ord(row.row), int(row.column)])


def light(row, rng):
    """A profile that knows where in the well a field lies, and the row of the well."""
    return [*np.eye(3)[row.field], "ABC".index(row.row), 0, *(0.2 * rng.normal(size=3))]


def retrieval(dataset, **values):
    settings = {"profile": "mine", "permutations": 50, **values}
    table = evaluate(dataset, parse("evaluate", "retrieval", settings))
    return table.set_index(["split", "condition"])


# -- pure functions -----------------------------------------------------------


def test_scores_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 5)).astype(np.float32)
    labels, wells = rng.integers(0, 3, 40), np.repeat(np.arange(10), 4)
    found = retrieve(vectors, labels, leave_one_out(wells), 3, standardize=False)
    said = vote(labels, found.nearest)
    assert sorted(found.rows) == list(range(40))
    for place, row in enumerate(found.rows):
        others = np.flatnonzero(wells != wells[row])
        assert set(found.nearest[place]) <= set(others)
        knn = KNeighborsClassifier(3, metric="cosine", algorithm="brute")
        knn.fit(vectors[others], labels[others])
        likeness = (vectors[others] @ vectors[row]) / np.linalg.norm(vectors[others], axis=1)
        votes = np.bincount(labels[found.nearest[place]])
        if (votes == votes.max()).sum() == 1:
            assert said[place] == knn.predict(vectors[[row]])[0]
        hit = labels[others] == labels[row]
        assert found.precision[place] == pytest.approx(average_precision_score(hit, likeness))


def test_of_equal_votes_the_nearer_counts():
    labels = np.array([0, 1, 0, 1])
    assert vote(labels, np.array([[1, 0], [0, 1], [3, -1]])).tolist() == [1, 0, 1]
    assert vote(labels, np.array([[1, 0, 2], [1, 2, 0]])).tolist() == [0, 0]
    # One is nearest of all, the other nearer on average.
    assert vote(labels, np.array([[0, 1, 3, 2], [1, 0, 2, 3]])).tolist() == [0, 1]


def test_chance_is_the_mean_over_all_rankings():
    for hits, references in ((1, 4), (2, 5), (3, 3), (1, 1)):
        ranking = [True] * hits + [False] * (references - hits)
        every = np.array(list(permutations(ranking)))
        expected = average_precision(every).mean()
        assert chance(np.array([hits]), references)[0] == pytest.approx(expected)


def test_conditions_are_shuffled_between_wells_and_never_within():
    wells = np.repeat([0, 1, 2, 3], 3)
    labels = np.repeat([0, 0, 1, 1], 3)
    seen = list(shuffled(labels, wells, 50, seed=0))
    for one in seen:
        assert all(len(set(one[wells == well])) == 1 for well in range(4))
        assert sorted(one) == sorted(labels)
    assert len({tuple(one) for one in seen}) == 6


def test_standardising_looks_at_the_references_only():
    vectors = np.array([[1e6, 1.0], [0.0, 1.0], [1.0, -1.0], [0.5, 0.9]], np.float32)
    labels = np.array([0, 0, 1, 0])
    split = [(np.array([0]), np.array([1, 2, 3]))]
    for one in (vectors, vectors * [1000, 1] + [5, 7]):
        found = retrieve(np.asarray(one, np.float32), labels, split, 3, standardize=True)
        assert found.nearest[0].tolist() == [2, 3, 1]


# -- retrieval ----------------------------------------------------------------


def test_replicates_are_found_where_profiles_know_the_condition(profiled):
    table = retrieval(profiled(biology))
    first = table.loc["leave one well out"]
    assert list(first.index) == ["all", "x", "y", "z"]
    assert first["accuracy"].tolist() == [1.0] * 4
    assert first["wells"].tolist() == [12, 4, 4, 4]
    assert first.loc["all", "mean_average_precision"] > 0.95
    # Of 11 others, 3 are of the same condition.
    assert first.loc["all", "chance"] == pytest.approx(3 / 11, abs=0.1)
    assert first.loc["all", "p"] < 0.05
    assert table.loc["4-fold over wells", "accuracy"]["all"] == 1.0


def test_noise_is_no_better_than_chance_at_any_level(profiled):
    # Fields of a well are alike here: were they on both sides, retrieval would look perfect.
    def well_noise(row, rng):
        return own_of(row).normal(size=6) + 0.01 * rng.normal(size=6)

    dataset = profiled(well_noise)
    for level in ("well", "field"):
        row = retrieval(dataset, level=level).loc[("leave one well out", "all")]
        assert abs(row["accuracy"] - row["chance"]) < 0.45
        assert row["p"] > 0.01
    answers = pd.read_csv(dataset.workspace.evaluation("retrieval-mine-field-answers"))
    assert (answers["well"] != answers["nearest_well"]).all()
    assert len(answers) == 2 * 36


def test_with_several_plates_one_is_left_out(profiled):
    dataset = profiled(biology, plates=("p", "q"))
    table = retrieval(dataset)
    assert table.loc[("leave one plate out", "all"), ["queries", "accuracy"]].tolist() == [24, 1.0]
    answers = pd.read_csv(dataset.workspace.evaluation("retrieval-mine-well-answers"))
    of_plates = answers[answers["split"] == "leave one plate out"]
    assert (of_plates["plate"] != of_plates["nearest_plate"]).all()
    assert dataset.workspace.evaluation("retrieval-mine-well").with_suffix(".png").exists()


def test_a_condition_with_one_well_is_left_out_and_said(profiled):
    def condition(well):
        return "rare" if well == "A/1" else "xy"[int(well[2:]) % 2]

    def vector(row, rng):
        return [row.condition == "x", row.condition == "y", 0.1 * rng.normal()]

    job = Job()
    dataset = profiled(vector, condition=condition)
    table = evaluate(dataset, parse("evaluate", "retrieval", {"profile": "mine"}), job)
    assert set(table["condition"]) == {"all", "x", "y"}
    assert "Left out, for they have one well and no replicate: rare." in job.notes


def test_no_condition_is_outvoted_for_want_of_wells(profiled):
    # Two wells each: of three nearest, one can be right.
    def vector(row, rng):
        return np.eye(3)["xyz".index(row.condition)] + 0.05 * rng.normal(size=3)

    job = Job()
    settings = {"profile": "mine", "permutations": 20}
    dataset = profiled(vector, columns=2)
    table = evaluate(dataset, parse("evaluate", "retrieval", settings), job)
    assert table["accuracy"].tolist() == [1.0] * len(table)
    said = "Leave one well out: the nearest 1 vote, not 3, for a condition has no more"
    assert any(note.startswith(said) for note in job.notes)
    job = Job()
    evaluate(dataset, parse("evaluate", "retrieval", {**settings, "level": "field"}), job)
    assert not [note for note in job.notes if " vote, " in note], "the other well has three fields"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rows": "A", "columns": 1}, "is of one well: replicates can be found among several"),
        ({"condition": lambda _: "x"}, "and all are under 'x': run 'profile' with a table"),
        ({"condition": lambda _: ""}, "and no well has any: run 'profile' with a table"),
        (
            {"rows": "A", "columns": 3, "condition": lambda well: "xyy"[int(well[2:]) - 1]},
            r"needs two conditions with two wells each; there are y \(2\), x \(1\)",
        ),
        ({"aligned": True}, "was aligned between plates, which shows each well the answers"),
    ],
)
def test_what_cannot_be_retrieved_is_one_line(profiled, given, said):
    with pytest.raises(InvalidInput, match=said) as error:
        retrieval(profiled(noise, **given))
    assert "\n" not in str(error.value)


def test_without_a_profile_it_says_what_to_run(profiled):
    with pytest.raises(MissingInput, match="No profile 'other' found for FOV A/1/0: run 'profile'"):
        retrieval(profiled(noise), profile="other")


WHOLE = [f"{row}/{column}/{field}" for row in "ABC" for column in "1234" for field in "012"]


def test_measures_of_other_levels_stand_beside_each_other(profiled):
    dataset = profiled(biology)
    retrieval(dataset)
    retrieval(dataset, level="field")
    nuisance(dataset)
    written = {path.name for path in (dataset.workspace.path / "evaluation").glob("*.csv")}
    assert written == {
        "retrieval-mine-well.csv", "retrieval-mine-well-answers.csv",
        "retrieval-mine-field.csv", "retrieval-mine-field-answers.csv", "nuisance-mine.csv",
    }  # fmt: skip
    assert dataset.workspace.runs()[1]["table"] == "retrieval-mine-field.csv"


def test_what_was_chosen_is_compared_and_nothing_else(profiled):
    dataset = profiled(biology, plates=("mine", "other"), fovs=WHOLE)
    some = dataset.select(["A/*", "B/*"])
    first = retrieval(some).loc[("leave one well out", "all")]
    assert first[["queries", "wells"]].tolist() == [8, 8]
    assert retrieval(dataset).loc[("leave one well out", "all"), "queries"] == 24
    fields = dataset.select(["A/*/0", "B/*/0"])
    assert retrieval(fields, level="field").loc[("leave one well out", "all"), "queries"] == 8
    assert nuisance(some)["fields"].tolist() == [24, 24, 24]
    said = r"The profile of well A/1 is of all its fields, and FOV A/1/1 was not chosen: choose"
    with pytest.raises(InvalidInput, match=said):
        retrieval(fields)


def test_a_sentence_says_what_it_came_to(profiled):
    job = Job()
    settings = {"profile": "mine", "permutations": 50}
    evaluate(profiled(biology), parse("evaluate", "retrieval", settings), job)
    said = "Leave one well out: the condition is told right for 100% of 12 wells, better than"
    assert any(note.startswith(said) for note in job.notes)
    assert any(note.startswith("Chance is what comes of") for note in job.notes)


# -- nuisance -----------------------------------------------------------------


def nuisance(dataset, **values):
    settings = {"profile": "mine", "permutations": 39, **values}
    return evaluate(dataset, parse("evaluate", "nuisance", settings)).set_index("nuisance")


def test_what_profiles_know_of_places_is_found_and_said(profiled):
    table = nuisance(profiled(light, times=2))
    assert list(table.index) == ["row", "column", "field position"]
    assert table["classes"].tolist() == [3, 4, 3]
    assert table["fields"].tolist() == [36] * 3
    for name in ("row", "field position"):
        assert table.loc[name, "score"] > 0.9
        assert table.loc[name, "p"] <= 0.05
        assert "can be told:" in table.loc[name, "meaning"]
    assert table.loc["field position", "chance"] == pytest.approx(1 / 3, abs=0.1)
    assert table.loc["column", "p"] > 0.05
    assert table.loc["column", "meaning"].startswith("The column of the well cannot be told (")


def test_wells_are_never_on_both_sides(profiled):
    # Every well has a profile of its own, and nothing in common with others of its row.
    def own(row, rng):
        return own_of(row).normal(size=30)

    table = nuisance(profiled(own))
    assert table.loc["row", "score"] < 0.7
    assert table.loc["field position", "p"] > 0.05


def test_a_row_that_holds_one_condition_may_be_the_treatment(profiled):
    def vector(row, rng):
        return [row.condition == "x", row.condition == "y", *(0.1 * rng.normal(size=2))]

    by_row = {"A": "x", "B": "y", "C": "z"}
    table = nuisance(profiled(vector, condition=lambda well: by_row[well[0]]))
    assert (
        "every row holds one condition, so that this may be the treatment"
        in (table.loc["row", "meaning"])
    )


def test_plates_are_told_at_places_that_were_not_seen(profiled):
    def vector(row, rng):
        return [*own_of(row).normal(size=3), float(row.plate == "q") + 0.1 * rng.normal()]

    table = nuisance(profiled(vector, plates=("p", "q")))
    assert table.loc["plate", ["classes", "fields"]].tolist() == [2, 72]
    assert table.loc["plate", "score"] > 0.95
    none = nuisance(profiled(noise, plates=("p", "q"), name="none"))
    assert none.loc["plate", "p"] > 0.02


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rows": "A", "columns": 1}, "is of one well: what wells and fields have in common"),
        ({"rows": "A", "columns": 2, "fields": 1}, "There is nothing to be told apart: rows and"),
        ({"aligned": True}, "was aligned between plates"),
    ],
)
def test_where_there_is_nothing_to_be_told_it_is_one_line(profiled, given, said):
    with pytest.raises(InvalidInput, match=said) as error:
        nuisance(profiled(noise, **given))
    assert "\n" not in str(error.value)


def test_alignment_makes_replicates_of_noise():
    """Why what was aligned is refused: a well sees its replicate on the other plate."""
    rng = np.random.default_rng(0)
    noise_of_wells = Profiles(
        rng.normal(size=(24, 8)).astype(np.float32),
        pd.DataFrame({"plate": ["p"] * 12 + ["q"] * 12, "well": list(range(12)) * 2}),
        [f"f{i}" for i in range(8)],
    )
    labels, plates = np.tile(np.arange(12), 2), np.repeat([0, 1], 12)

    def accuracy(profiles):
        found = retrieve(profiles.vectors, labels, leave_one_out(plates), 1, standardize=False)
        return float((vote(labels, found.nearest) == labels[found.rows]).mean())

    assert accuracy(noise_of_wells) < 0.4
    assert accuracy(align(noise_of_wells, 0.3)) > 0.9
