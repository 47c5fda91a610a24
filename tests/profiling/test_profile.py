from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr import Job, open_dataset, profile
from napari_dynaclr.core.errors import Cancelled, InvalidInput, MissingInput
from napari_dynaclr.core.profiles import LEVELS, read_profile
from napari_dynaclr.core.registry import parse
from napari_dynaclr.profiling.maps import maps
from napari_dynaclr.session.profiles import profile_names, read_profiles


def settings(**values):
    return parse("profile", "cells", {"embedding": "mine", "map": "none", **values})


def stamps(dataset):
    return {
        path: path.stat().st_mtime_ns
        for path in dataset.workspace.profile("mine").rglob("*")
        if path.is_file()
    }


def test_levels_on_disk(embedded):
    dataset = embedded(
        fields=2, vector=lambda well, field, t, rng: [field, t, float(well == "A/1")]
    )
    rows = profile(dataset, settings())
    where = ["fov_name", "t", "plate", "well", "row", "column"]
    assert list(rows) == [*where, "condition", "hours", "cells", "fields"]
    assert len(rows) == 4 * 2 * 2
    assert set(rows["cells"]) == {3}
    assert rows["hours"].tolist() == pytest.approx((rows["t"] / 60).tolist())
    shapes = {level: dataset.workspace.profiles("mine", level).shape for level in LEVELS}
    assert shapes == {"field": (16, 3), "well_time": (8, 3), "well": (4, 3), "condition": (2, 3)}
    of_wells = dataset.workspace.profiles("mine", "well")
    np.testing.assert_allclose(of_wells["plate/A/1"].X, [[0.5, 0.5, 1.0]])
    assert of_wells.obs["fields"].tolist() == [2] * 4
    assert of_wells.obs["cells"].tolist() == [12] * 4
    assert of_wells.uns["source"] == "embedding 'mine'"
    assert of_wells.uns["aligned"] == np.False_
    assert of_wells.uns["method"] == "cells"
    over_time = dataset.workspace.profiles("mine", "well_time")
    np.testing.assert_allclose(over_time["plate/B/2/1"].X, [[0.5, 1.0, 0.0]])
    by_row = dataset.workspace.profiles("mine", "condition")
    assert by_row.obs["condition"].tolist() == ["A", "B"]
    np.testing.assert_allclose(by_row.X[:, 2], [0.5, 0.0])


def test_every_level_has_its_principal_components(embedded):
    dataset = embedded()
    profile(dataset, settings())
    for level in LEVELS:
        shard = dataset.workspace.profiles("mine", level)
        assert shard.obsm["X_pca"].shape[0] == len(shard)
        assert shard.obsm["X_pca"].shape[1] >= 2
        assert np.ptp(shard.obsm["X_pca"][:, 0]) > 0


def test_wells_over_time_are_mapped_where_there_are_enough(embedded):
    dataset = embedded(times=tuple(range(8)))
    profile(dataset, settings(map="phate"))
    over_time = dataset.workspace.profiles("mine", "well_time")
    assert over_time.obsm["X_phate"].shape == (32, 2)
    assert "X_phate" not in dataset.workspace.profiles("mine", "well").obsm


def test_phate_of_a_hundred_profiles_is_no_line():
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(3, 40))
    vectors = (centres[np.arange(96) % 3] + rng.normal(size=(96, 40))).astype(np.float32)
    found = maps(vectors, "phate", Job())["X_phate"]
    spread = np.linalg.svd(found - found.mean(0), compute_uv=False)
    assert spread[1] > 0.05 * spread[0], "with 15 neighbours it is a hundredth"


def test_conditions_from_a_table_are_kept(embedded, table):
    dataset = embedded()
    path = table({"well": ["A/1", "A/2", "B/1"], "condition": ["mock", "drug", "drug"]})
    job = Job()
    rows = profile(dataset, settings(conditions=path), job)
    assert rows.groupby("well")["condition"].first().tolist() == ["mock", "drug", "drug", ""]
    assert any("says nothing of 1 wells" in note for note in job.notes)
    by_condition = dataset.workspace.profiles("mine", "condition").obs
    assert by_condition[["condition", "wells"]].to_numpy().tolist() == [["mock", 1], ["drug", 2]]
    again = profile(dataset, settings())
    pd.testing.assert_frame_equal(again, rows)


def test_nothing_is_done_twice_and_other_pooling_reads_no_cell_again(embedded, table, monkeypatch):
    dataset = embedded()
    profile(dataset, settings())
    before = stamps(dataset)
    profile(open_dataset(dataset.root), settings())
    assert stamps(dataset) == before
    read = []
    real = type(dataset.workspace).embedding
    monkeypatch.setattr(
        type(dataset.workspace), "embedding", lambda *args: read.append(args) or real(*args)
    )
    path = table({"well": ["A/1", "A/2", "B/1", "B/2"], "condition": ["x", "x", "y", "y"]})
    profile(dataset, settings(conditions=path, standardize="plate"))
    assert not read
    assert dataset.workspace.profiles("mine", "condition").obs["condition"].tolist() == ["x", "y"]
    profile(dataset, settings(border_cells=False))
    assert len(read) == len(dataset.fovs)
    assert set(dataset.workspace.profiles("mine", "field").obs["cells"]) == {2}


def test_a_profile_is_out_of_date_once_its_embedding_is(embedded):
    dataset = embedded()
    profile(dataset, settings())
    assert len(read_profile(dataset, "mine", "well")) == 4
    first = dataset.fovs[0]
    dataset.workspace.mark_complete("embeddings.mine", first, "another")
    assert dataset.workspace.outdated("profiles.mine", first)
    with pytest.raises(MissingInput, match="Out of date for FOV A/1/0: profile 'mine'"):
        read_profile(dataset, "mine", "well")
    profile(dataset, settings())
    assert len(read_profile(dataset, "mine", "well")) == 4


def test_what_was_deleted_is_made_again(embedded):
    dataset = embedded()
    rows = profile(dataset, settings())
    shutil.rmtree(dataset.workspace.profile("mine"))
    pd.testing.assert_frame_equal(profile(dataset, settings()), rows)


def test_of_selected_fovs_only(embedded):
    dataset = embedded()
    profile(dataset, settings())
    some = dataset.select(["A/*"])
    assert set(profile(some, settings())["well"]) == {"A/1", "A/2"}
    assert len(read_profile(some, "mine", "well")) == 2
    # What was made of all is not there any more, and says so.
    with pytest.raises(MissingInput, match="No profile 'mine' found for FOV B/1/0: run 'profile'"):
        read_profile(dataset, "mine", "well")


def test_without_an_embedding_it_says_what_to_run(embedded):
    dataset = embedded()
    with pytest.raises(MissingInput, match="No embedding 'other' found for FOV A/1/0: run 'embed'"):
        profile(dataset, settings(embedding="other"))
    with pytest.raises(MissingInput, match="No profile 'mine' found: run 'profile' first"):
        dataset.workspace.profiles("mine", "well")
    with pytest.raises(InvalidInput, match="no level 'wells': choose from field, well_time, well"):
        dataset.workspace.profiles("mine", "wells")


def test_values_that_are_not_finite_are_left_out(embedded):
    seen = iter([np.nan, 2.0, 4.0] * 100)
    dataset = embedded(vector=lambda *_: [next(seen), 1.0, 0.0])
    profile(dataset, settings())
    assert dataset.workspace.profiles("mine", "field").X[:, 0].tolist() == [3.0] * 8
    never, job = embedded("never", vector=lambda *_: [np.nan, 1.0, 0.0]), Job()
    profile(never, settings(), job)
    assert never.workspace.profiles("mine", "field").shape == (8, 2)
    assert any(note.startswith("Left out: 1 of 3 dimensions, of which") for note in job.notes)

    def sometimes(_well, field, _t, _rng):
        return [np.nan if field == 0 else 1.0, 1.0, 0.0]

    some, job = embedded("some", fields=3, vector=sometimes), Job()
    profile(some, settings(), job)
    assert some.workspace.profiles("mine", "field").shape == (16, 3)
    assert any("8 of 24 fields and times, which have no finite value" in n for n in job.notes)
    nothing = embedded("nothing", vector=lambda *_: [np.nan] * 3)
    with pytest.raises(InvalidInput, match="No field has finite values of the dimensions"):
        profile(nothing, settings())


def test_dimensions_of_unlike_scale_are_noted(embedded):
    def vector(_well, field, _t, rng):
        return [1000.0 * field, *rng.normal(size=2)]

    for standardize, noted in (("none", True), ("plate", False)):
        job = Job()
        dataset = embedded(standardize, fields=3, vector=vector)
        profile(dataset, settings(standardize=standardize), job)
        said = [
            note for note in job.notes if note.startswith("The dimensions differ in scale: 'f0'")
        ]
        assert bool(said) is noted


def test_a_cancelled_run_goes_on_where_it_stopped(embedded):
    dataset = embedded()
    jobs = []

    def stop(progress):
        if progress.done == 2:
            jobs[0].cancel()

    jobs.append(Job(stop))
    with pytest.raises(Cancelled):
        profile(dataset, settings(), jobs[0])
    done = stamps(dataset)
    assert 0 < len(done) < len(dataset.fovs)
    profile(dataset, settings())
    assert {path: stamps(dataset)[path] for path in done} == done


def test_fields_in_a_square_are_concatenated(embedded):
    dataset = embedded(fields=9, wells=("A/1",), vector=lambda w, field, t, rng: [field, 0, 0])
    with pytest.raises(InvalidInput, match=r"lie is not in the dataset, or no square of 3 x 3"):
        profile(dataset, settings(across_fields="concatenate"))
    profile(dataset, settings(across_fields="concatenate", field_order="snake"))
    (made,) = dataset.workspace.profiles("mine", "well").X
    assert made.reshape(9, 3)[:, 0].tolist() == [0, 1, 2, 5, 4, 3, 6, 7, 8]


# -- several plates -----------------------------------------------------------


def test_plates_are_profiled_together_and_aligned_if_asked_for(embedded):
    one, two = embedded("one"), embedded("two", seed=1)
    profile(one, settings(also=[str(two.root)]))
    plain = one.workspace.profiles("mine", "well")
    assert plain.obs["plate"].tolist() == ["one"] * 4 + ["two"] * 4
    assert one.workspace.profiles("mine", "condition").obs["wells"].tolist() == [4, 4]
    profile(one, settings(also=[str(two.root)], alpha=0.25))
    moved = one.workspace.profiles("mine", "well")
    assert bool(moved.uns["aligned"])
    centre = (plain.X[:4] + plain.X[4:]) / 2
    np.testing.assert_allclose(moved.X, 0.25 * plain.X + 0.75 * np.tile(centre, (2, 1)), rtol=1e-4)
    # A source is never written to: what is kept of the other plate is in its workspace.
    assert {path.name for path in two.workspace.profile("mine").iterdir()} == {"vectors"}


def test_what_was_made_anew_on_a_further_plate_is_out_of_date(embedded, tmp_path):
    one, two = embedded("one"), embedded("two", seed=1)
    profile(one, settings(also=[str(two.root)]))
    assert len(read_profile(one, "mine", "well")) == 8
    assert profile_names(one) == ["mine"]
    assert profile_names(two) == [], "vectors are no profile yet"
    two.workspace.mark_complete("embeddings.mine", two.fovs[0], "second")
    with pytest.raises(MissingInput, match=r"Out of date: profile 'mine' \(of plate two\), for an"):
        read_profile(one, "mine", "well")
    assert read_profiles(one, "mine", "well").missing == ("two",)
    profile(one, settings(also=[str(two.root)]))
    assert len(read_profile(one, "mine", "well")) == 8
    two.root.rename(tmp_path / "away.zarr")  # a disk that is not there now
    assert len(read_profile(one, "mine", "well")) == 8


@pytest.mark.parametrize("kind", ["one plate", "same name", "dimensions", "names", "layout"])
def test_plates_that_do_not_go_together(embedded, table, tmp_path, kind):
    one = embedded("one")
    given = {"also": [str(tmp_path / "two.zarr")]}
    if kind == "one plate":
        given, said = (
            {"alpha": 0.5},
            "name others with also=, or leave it at alpha=1",
        )
    elif kind == "same name":
        given, said = {"also": [str(one.root)]}, r"Two plates are called 'one'"
    elif kind == "dimensions":
        embedded("two", dimensions=2, vector=lambda *_: [1, 2])
        said = r"two A/1/0 has 2 dimensions, as the others, and one A/1/0 has 3 others: make both f"
    elif kind == "names":
        embedded("two", names=["f0", "g1", "f2"])
        said = r"two A/1/0 has 3 dimensions, such as 'g1', and one A/1/0 has 3 others: make both fr"
    else:
        embedded("two")
        rows = {"plate": ["", "two"], "well": ["A/1", "A/1"], "condition": ["mock", "drug"]}
        given |= {"conditions": table(rows), "alpha": 0.5}
        said = r"Well A/1 is 'mock' on one and 'drug' on two: plates of different layout cannot"
    with pytest.raises(InvalidInput, match=said):
        profile(one, settings(**given))


def test_standardising_to_controls_needs_to_know_them(embedded):
    dataset = embedded()
    with pytest.raises(InvalidInput, match="Which condition are the controls"):
        profile(dataset, settings(standardize="controls"))
    with pytest.raises(InvalidInput, match="control condition 'dmso': its conditions are A, B"):
        profile(dataset, settings(standardize="controls", controls="dmso"))
    profile(dataset, settings(standardize="controls", controls="A"))
    over = dataset.workspace.profiles("mine", "condition")
    np.testing.assert_allclose(over["A"].X, 0, atol=1e-5)
