from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("traccuracy")

from napari_dynaclr import evaluate, open_dataset, track
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.registry import parse
from napari_dynaclr.core.tables import node_id, validate_tracks
from napari_dynaclr.evaluation.tracking import graph, score


def lineage():
    """Track 1 divides at t=5 into 2 and 3; tracks 4 and 5 just live. 10 frames."""
    spans = {1: (0, 5, -1), 2: (5, 10, 1), 3: (5, 10, 1), 4: (0, 10, -1), 5: (2, 8, -1)}
    rows = []
    for number, (start, stop, parent) in spans.items():
        for t in range(start, stop):
            before = number if t > start else parent
            rows.append(
                {
                    "track_id": number,
                    "t": t,
                    "id": node_id(t, number),
                    "parent_track_id": parent,
                    "parent_id": node_id(t - 1, before) if before > 0 else -1,
                    "z": 0.0,
                    "y": 10.0 * number,
                    "x": float(t),
                }
            )
    return validate_tracks(pd.DataFrame(rows))


def compare(ours, pairs=None, tolerance=1):
    truth = lineage()
    if pairs is None:
        pairs = [(node, node) for node in truth["id"] if node in set(ours["id"])]
    return score(graph(truth), graph(ours), pairs, tolerance)[0]


def test_perfect_tracks_score_one():
    found = compare(lineage())
    assert {found[name] for name in ("TRA", "DET", "LNK")} == {1.0}
    assert found["division_f1"] == found["division_precision"] == found["division_recall"] == 1.0
    assert found["true_divisions"] == found["found_divisions"] == 1
    assert found["true_nodes"] == found["found_nodes"] == len(lineage())


def test_a_broken_link_costs_linking_but_not_detection():
    ours = lineage()
    ours.loc[ours["id"] == node_id(6, 4), "parent_id"] = -1
    found = compare(ours)
    assert found["DET"] == 1.0
    assert found["LNK"] < 1.0
    assert found["TRA"] < 1.0
    assert found["division_f1"] == 1.0


def test_a_wrong_link_costs_more_than_a_missing_one():
    missing, wrong = lineage(), lineage()
    place = missing["id"] == node_id(6, 4)
    missing.loc[place, "parent_id"] = -1
    wrong.loc[place, "parent_id"] = node_id(5, 5)
    assert compare(wrong)["LNK"] < compare(missing)["LNK"] < 1.0


def test_a_missed_cell_costs_detection():
    ours = lineage()
    found = compare(ours[ours["id"] != node_id(9, 4)])
    assert found["DET"] < 1.0
    assert found["found_nodes"] == found["true_nodes"] - 1


def test_a_spurious_cell_costs_detection_less_than_a_missed_one():
    ours = lineage()
    extra = ours.iloc[:1].assign(track_id=99, id=node_id(0, 99), parent_id=-1)
    more = compare(pd.concat([ours, extra], ignore_index=True))
    fewer = compare(ours[ours["id"] != node_id(9, 4)])
    assert fewer["DET"] < more["DET"] < 1.0


def test_a_missed_division_costs_recall():
    ours = lineage()
    ours.loc[ours["id"] == node_id(5, 3), "parent_id"] = -1
    found = compare(ours)
    assert found["division_recall"] == 0.0
    assert found["division_f1"] == 0.0
    assert found["found_divisions"] == 0
    assert found["DET"] == 1.0


def test_an_invented_division_costs_precision():
    ours = lineage()
    ours.loc[ours["id"] == node_id(2, 5), "parent_id"] = node_id(1, 4)
    found = compare(ours)
    assert found["division_recall"] == 1.0
    assert found["division_precision"] == pytest.approx(0.5)
    assert found["division_f1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("tolerance", "f1"), [(0, 0.0), (1, 1.0)])
def test_a_division_may_be_found_a_frame_late(tolerance, f1):
    """The daughters are one cell for a frame more, as when they still touch."""
    ours = lineage()
    ours = ours[ours["id"] != node_id(5, 3)].copy()
    ours.loc[ours["id"] == node_id(6, 3), "parent_id"] = node_id(5, 2)
    assert compare(ours, tolerance=tolerance)["division_f1"] == f1


def test_without_true_divisions_there_is_no_score_for_them():
    truth = lineage().query("track_id >= 4")
    pairs = [(node, node) for node in truth["id"]]
    found, _ = score(graph(truth), graph(truth), pairs)
    assert np.isnan(found["division_f1"])
    assert found["TRA"] == 1.0


def test_the_truth_scores_one_against_itself(processed, truth, tmp_path):
    """From label images and tables on disk."""
    from napari_dynaclr import segment

    dataset = open_dataset(processed.root, tmp_path / "own.dynaclr").select(["B/1/0"])
    segment(dataset, parse("segment", "import", {"path": str(truth), "name": "nucleus_labels"}))
    track(dataset, parse("track", "masks", {}))
    params = parse("evaluate", "tracking", {"truth": str(truth)})
    table = evaluate(dataset, params)
    assert table["fov_name"].tolist() == ["B/1/0"]
    assert table["DET"].item() == 1.0
    assert table["LNK"].item() >= 0.97, "masks carry no lineage, the rest is the same"
    # With the true lineage, nothing is missing.
    fov = dataset.fovs[0]
    true_tracks = pd.read_csv(truth / "B/1/0" / "tracks.csv")
    ours = dataset.workspace.tracks(fov).drop(columns=["parent_track_id", "parent_id"])
    new_id = ours.set_index(["track_id", "t"])["id"]
    old = true_tracks.set_index(["track_id", "t"])
    same = old.assign(new=new_id.reindex(old.index)).reset_index()
    renamed = same.set_index("id")["new"]
    same["parent_id"] = same["parent_id"].map(renamed).fillna(-1)
    same.drop(columns="id").rename(columns={"new": "id"}).to_csv(
        dataset.workspace.tracks_csv(fov), index=False
    )
    table = evaluate(dataset, params)
    assert (table[["TRA", "DET", "LNK"]] == 1.0).all(axis=None)


@pytest.mark.filterwarnings("ignore:Mapping is empty")
def test_cells_where_there_are_none_score_nothing(make_plate):
    from napari_dynaclr import segment

    ours, true = np.zeros((2, 3, 1, 1, 30, 30), np.uint16)
    ours[..., 2:8, 2:8], true[..., 20:26, 20:26] = 1, 1
    dataset = open_dataset(make_plate("movie.zarr", {"A/1/0": ours + 1}))
    masks = make_plate("ours.zarr", {"A/1/0": ours})
    segment(dataset, parse("segment", "import", {"path": str(masks)}))
    track(dataset)
    path = make_plate("truth.zarr", {"A/1/0": true})
    table = pd.DataFrame({"track_id": 1, "t": range(3), "y": 22.5, "x": 22.5})
    table["id"] = node_id(table["t"], table["track_id"])
    table["parent_id"] = [-1, *table["id"][:-1]]
    table.to_csv(path / "A/1/0" / "tracks.csv", index=False)
    found = evaluate(dataset, parse("evaluate", "tracking", {"truth": str(path)}))
    assert found["TRA"].item() == found["DET"].item() == 0.0


def test_truth_of_another_shape_or_without_a_table_is_one_line(processed, make_plate):
    fovs = dict.fromkeys(processed.fov_names, np.zeros((10, 1, 1, 192, 192), np.uint16))
    path = make_plate("truth.zarr", fovs)
    with pytest.raises(InvalidInput, match="holds 0 CSV files: the truth needs exactly one"):
        evaluate(processed, parse("evaluate", "tracking", {"truth": str(path)}))
    path = make_plate("other.zarr", {"A/1/0": np.zeros((10, 1, 1, 192, 191), np.uint16)})
    with pytest.raises(InvalidInput, match="The truth of FOV A/1/0 has shape"):
        evaluate(processed, parse("evaluate", "tracking", {"truth": str(path)}))
