from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import skops.io

from napari_dynaclr import classify
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.registry import parse
from napari_dynaclr.core.tables import PREDICTION_COLUMNS


def run(embedded, **values):
    return classify(embedded.dataset, parse("classify", "linear", values))


def accuracy(embedded, table):
    joined = table.merge(embedded.truth[["fov_name", "id", "state"]], on=["fov_name", "id"])
    assert len(joined) == len(embedded.truth) == len(table)
    return (joined["predicted_infection"] == joined["state"]).mean()


def report(embedded, task="infection"):
    file = embedded.dataset.workspace.classifier(task).with_suffix(".json")
    return json.loads(file.read_text())


def test_states_that_a_line_can_part_are_recovered_from_thirty_clicks(embedded):
    embedded.annotate(embedded.some(30))
    assert accuracy(embedded, run(embedded)) > 0.97


def test_the_table_has_the_documented_columns_and_probabilities(embedded):
    embedded.annotate(embedded.some())
    table = run(embedded)
    probabilities = ["probability_infected", "probability_uninfected"]
    assert list(table) == [
        *PREDICTION_COLUMNS,
        "predicted_infection",
        "confidence",
        *probabilities,
    ]
    np.testing.assert_allclose(table[probabilities].sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(table["confidence"], table[probabilities].max(axis=1))
    likelier = table["probability_infected"] > 0.5
    assert ((table["predicted_infection"] == "infected") == likelier).all()
    stored = pd.read_csv(embedded.dataset.workspace.predictions("infection"))
    pd.testing.assert_frame_equal(stored, table, check_dtype=False)


def test_predictions_stand_in_the_shards_under_viscys_keys(embedded):
    embedded.annotate(embedded.some())
    table = run(embedded).set_index(["fov_name", "id"])
    for fov in embedded.dataset.fovs:
        shard = embedded.dataset.workspace.embedding("features", fov)
        classes = shard.uns["predicted_infection_classes"].tolist()
        assert classes == ["infected", "uninfected"]
        probability = shard.obsm["predicted_infection_proba"]
        assert probability.shape == (len(shard), 2)
        assert shard.obs["predicted_infection"].tolist() == [
            classes[i] for i in probability.argmax(axis=1)
        ]
        rows = table.loc[[(fov.name, node) for node in shard.obs["id"]]]
        np.testing.assert_allclose(rows["probability_infected"], probability[:, 0])


def test_the_artefact_loads_without_trusting_anything_and_predicts_the_same(embedded):
    embedded.annotate(embedded.some())
    table = run(embedded)
    file = embedded.dataset.workspace.classifier("infection")
    assert skops.io.get_untrusted_types(file=file) == []
    model = skops.io.load(file, trusted=[])
    for name, part in table.groupby("fov_name"):
        shard = embedded.dataset.workspace.embedding("features", embedded.dataset[name])
        expected = part["probability_infected"].to_numpy()
        np.testing.assert_allclose(model.predict_proba(np.asarray(shard.X))[:, 0], expected)


def test_the_report_counts_what_was_learnt_from_and_scores_by_group(embedded):
    embedded.annotate(embedded.some(40))
    run(embedded)
    found = report(embedded)
    assert found["annotated"] == {"infected": 20, "uninfected": 20}
    for split in ("track", "fov", "well"):
        scores = found["cross_validation"][split]
        assert scores["cells"] == 40
        assert np.array(scores["confusion"]).sum() == 40
        assert scores["f1_macro"] > 0.9


def test_unknown_is_not_learnt(embedded):
    cells = embedded.some(30)
    embedded.annotate(cells)
    other = embedded.truth.drop(cells.index).sample(10, random_state=0)
    embedded.annotate(other, ["unknown"] * 10)
    run(embedded)
    assert report(embedded)["annotated"] == {"infected": 15, "uninfected": 15}


def test_only_the_chosen_fovs_are_learnt_from_and_all_are_predicted(embedded):
    embedded.annotate(embedded.some(60))
    in_b = embedded.some(60)["fov_name"].str.startswith("B")
    table = run(embedded, learn_from=["B/1"])
    assert sum(report(embedded)["annotated"].values()) == in_b.sum()
    assert set(table["fov_name"]) == set(embedded.dataset.fov_names)
    assert accuracy(embedded, table) > 0.95
    assert report(embedded)["cross_validation"]["well"] is None, "one well cannot be held out"


def test_the_same_annotations_give_the_same_predictions(embedded):
    embedded.annotate(embedded.some())
    one = run(embedded)
    scores = report(embedded)
    for fov in embedded.dataset.fovs:
        embedded.dataset.workspace.forget("predictions.*", fov)
    pd.testing.assert_frame_equal(run(embedded), one, check_exact=True)
    assert report(embedded) == scores


def test_annotations_that_were_exchanged_are_learnt_anew(embedded):
    """The same cells and as many of each state, but the other way round."""
    cells = embedded.some(30)
    embedded.annotate(cells)
    before = run(embedded)
    embedded.annotate(
        cells, cells["state"].map({"infected": "uninfected", "uninfected": "infected"})
    )
    after = run(embedded)
    assert (before["predicted_infection"] != after["predicted_infection"]).mean() > 0.9


def test_two_tasks_are_kept_beside_each_other(embedded):
    cells = embedded.some()
    embedded.annotate(cells)
    embedded.annotate(cells, cells["state"].map({"infected": "big", "uninfected": "small"}), "size")
    run(embedded)
    table = run(embedded, task="size")
    assert set(table["predicted_size"]) == {"big", "small"}
    shard = embedded.dataset.workspace.embedding("features", embedded.dataset.fovs[0])
    assert {"predicted_infection", "predicted_size"} <= set(shard.obs)


def test_three_states_have_three_probabilities(embedded):
    cells = embedded.some(40)
    states = np.where(cells["t"] == 4, "dead", cells["state"])
    embedded.annotate(cells, states)
    table = run(embedded)
    names = ["probability_dead", "probability_infected", "probability_uninfected"]
    np.testing.assert_allclose(table[names].sum(axis=1), 1, rtol=1e-5)


def test_rare_states_count_as_much_as_frequent_ones_unless_told_otherwise(embedded):
    cells = embedded.truth.groupby("state").sample(40, random_state=0)
    # States that the embedding does not show: only their frequency can be learnt.
    states = np.array(["rare"] * 8 + ["frequent"] * 72)
    embedded.annotate(cells.sample(frac=1, random_state=1), states)
    plain = run(embedded, class_weight="none")["predicted_infection"]
    balanced = run(embedded)["predicted_infection"]
    assert (balanced == "rare").mean() > (plain == "rare").mean() + 0.1


def test_one_state_only_is_one_line(embedded):
    cells = embedded.truth[embedded.truth["state"] == "infected"].head(5)
    embedded.annotate(cells)
    with pytest.raises(InvalidInput, match="All 5 annotations of 'infection' say 'infected'"):
        run(embedded)
    assert not embedded.dataset.workspace.classifier("infection").exists()


def test_without_annotations_it_says_what_to_do(embedded):
    with pytest.raises(InvalidInput, match="Nothing has been annotated yet: run 'annotate'"):
        run(embedded)


def test_a_task_nobody_annotated_names_those_there_are(embedded):
    embedded.annotate(embedded.some())
    with pytest.raises(InvalidInput, match=r"'death' \(there are infection\)"):
        run(embedded, task="death")


def test_all_unknown_is_nothing_to_learn_from(embedded):
    cells = embedded.some(6)
    embedded.annotate(cells, ["unknown"] * 6)
    with pytest.raises(InvalidInput, match="No annotation of 'infection' is on a cell"):
        run(embedded)


def test_annotations_of_other_fovs_are_nothing_to_learn_from(embedded):
    cells = embedded.truth[embedded.truth["fov_name"] == "A/1/0"]
    embedded.annotate(cells)
    with pytest.raises(InvalidInput, match="on a cell of the chosen FOVs"):
        run(embedded, learn_from=["B/*"])


def test_without_the_embedding_it_names_the_stage_to_run(dataset):
    with pytest.raises(
        MissingInput, match="No embedding 'features' found for FOV A/1/0: run 'embed'"
    ):
        classify(dataset)
