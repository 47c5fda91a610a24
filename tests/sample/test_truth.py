from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_dynaclr.sample import SimulateParams, simulate
from napari_dynaclr.sample.cell import Snapshot
from napari_dynaclr.sample.params import CHANNELS
from napari_dynaclr.sample.rendering import Rendered
from napari_dynaclr.sample.truth import MIN_PIXELS, STATE_COLUMNS, TRACK_COLUMNS, TruthRecorder


def snapshot(cell, parent=-1, **states):
    usual = {"infected": False, "mitotic": False, "dead": False}
    shape = dict.fromkeys(
        ["y", "x", "angle", "nucleus_radius", "nucleus_aspect", "body_radius", "rounding"], 1.0
    )
    return Snapshot(
        cell=cell,
        parent=parent,
        outline=np.zeros(6, np.complex128),
        condensation=0.0,
        infection=0.0,
        look=np.zeros(8),
        **shape,
        **{**usual, **states},
    )


def recorded(*frames):
    """Truth of frames given as {cell: (parent, pixels of its nucleus in the field)}."""
    recorder = TruthRecorder()
    for t, frame in enumerate(frames):
        cells = [snapshot(cell, parent) for cell, (parent, _) in frame.items()]
        nuclei = np.zeros((1, 40, 100), np.int32)
        for index, (_, pixels) in enumerate(frame.values()):
            nuclei[0, index * 3].ravel()[:pixels] = index + 1
        bodies = np.maximum(nuclei, np.roll(nuclei, 1, axis=1))
        nucleus_labels, cell_labels = recorder.add(Rendered(nuclei, nuclei, bodies), cells, t)
        rows = recorder.annotations("A/1/0").query("t == @t")
        assert set(np.unique(nucleus_labels)) - {0} == set(rows["track_id"])
        assert set(np.unique(cell_labels)) - {0} == set(rows["track_id"])
    table = recorder.annotations("A/1/0")
    assert_lineages(table)
    return table


def test_a_division_links_two_daughters_to_their_mother():
    table = recorded({7: (-1, 60)}, {7: (-1, 60)}, {8: (7, 60), 9: (7, 60)}, {8: (7, 60)})
    assert table["track_id"].tolist() == [1, 1, 2, 3, 2]
    assert table["parent_track_id"].tolist() == [-1, -1, 1, 1, 1]
    assert table["parent_id"].tolist() == [-1, 1, 2, 2, 3]


def test_a_daughter_born_outside_the_field_leaves_her_sister_without_a_parent():
    table = recorded({7: (-1, 60)}, {8: (7, 60), 9: (7, MIN_PIXELS - 1)}, {8: (7, 60), 9: (7, 60)})
    assert table["track_id"].tolist() == [1, 2, 2, 3]
    assert table["parent_track_id"].tolist() == [-1] * 4


def test_a_cell_that_comes_back_is_a_new_track():
    table = recorded({1: (-1, 60)}, {1: (-1, 3)}, {1: (-1, 60)})
    assert table["t"].tolist() == [0, 2]
    assert table["track_id"].tolist() == [1, 2]
    assert table["parent_id"].tolist() == [-1, -1]


def assert_truthful(simulated) -> None:
    """Labels and tables say the same, and the lineages hold together."""
    for name, labels in simulated.labels.items():
        tracks = simulated.tracks[name]
        assert list(tracks.columns) == TRACK_COLUMNS
        assert all(pd.api.types.is_numeric_dtype(kind) for kind in tracks.dtypes)
        assert tracks["id"].is_unique
        assert not tracks.duplicated(["t", "track_id"]).any()
        for t, (nuclei, cells) in enumerate(labels):
            rows = tracks[tracks["t"] == t].set_index("track_id")
            assert set(np.unique(nuclei)) - {0} == set(rows.index)
            assert set(np.unique(cells)) - {0} == set(rows.index)
            # A nucleus lies in its own cell.
            np.testing.assert_array_equal(cells[nuclei > 0], nuclei[nuclei > 0])
            for track, row in rows.iterrows():
                where = np.argwhere(nuclei == track)
                assert len(where) >= MIN_PIXELS
                np.testing.assert_allclose(where.mean(0), row[["z", "y", "x"]], atol=0.01)
        assert_lineages(tracks)


def assert_lineages(tracks: pd.DataFrame) -> None:
    nodes = tracks.set_index("id")
    for track, rows in tracks.groupby("track_id"):
        assert (np.diff(rows["t"]) == 1).all(), f"gap in track {track}"
        assert rows["parent_track_id"].nunique() == 1
        assert list(rows["parent_id"])[1:] == list(rows["id"])[:-1]
        parent, node = rows.iloc[0][["parent_track_id", "parent_id"]]
        if parent == -1:
            assert node == -1
            continue
        mother = tracks[tracks["track_id"] == parent]
        assert nodes.loc[node, "track_id"] == parent
        assert nodes.loc[node, "t"] == mother["t"].max() == rows["t"].min() - 1
    daughters = tracks[tracks["parent_track_id"] >= 0].groupby("parent_track_id")["track_id"]
    assert (daughters.nunique() == 2).all()


def test_truth_is_consistent(small):
    assert_truthful(small)


def test_annotations_cover_every_node(small):
    assert list(small.annotations.columns) == ["fov_name", *TRACK_COLUMNS, *STATE_COLUMNS]
    for name, tracks in small.tracks.items():
        rows = small.annotations[small.annotations["fov_name"] == name]
        pd.testing.assert_frame_equal(
            rows[TRACK_COLUMNS].reset_index(drop=True), tracks, check_dtype=False
        )
    mock = small.annotations["fov_name"].str.startswith("A/")
    assert set(small.annotations["infection_state"][mock]) == {"uninfected"}
    assert set(small.annotations["infection_state"][~mock]) == {"infected", "uninfected"}
    assert set(small.annotations["cell_division_state"]) <= {"mitosis", "interphase"}
    assert set(small.annotations["cell_death_state"]) <= {"dead", "alive"}


def test_mothers_end_in_mitosis(small):
    states = small.annotations.set_index(["fov_name", "id"])["cell_division_state"]
    born = small.annotations[small.annotations["parent_track_id"] >= 0]
    born = born.drop_duplicates(["fov_name", "track_id"])
    assert len(born) >= 2
    assert {states[row.fov_name, row.parent_id] for row in born.itertuples()} == {"mitosis"}


def test_a_stack_has_bodies_in_three_dimensions(tmp_path, small_params, read_back):
    params = small_params.model_copy(
        update={"z_slices": 7, "time_points": 2, "fovs_per_well": 1, "ome_zarr_version": "0.4"}
    )
    simulated = read_back(simulate(tmp_path / "stack.zarr", params))
    assert (tmp_path / "stack.zarr" / ".zgroup").exists()
    assert_truthful(simulated)
    for name, labels in simulated.labels.items():
        area = (labels[0, 0] > 0).sum((1, 2))
        assert area[3] == area.max() > 3 * area[0]
        nuclei = simulated.images[name][0, CHANNELS.index("Nuclei")]
        contrast = nuclei.std((1, 2))
        assert contrast[3] > 2 * max(contrast[0], contrast[-1])
        assert simulated.tracks[name]["z"].between(1.5, 4.5).all()


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    params=st.builds(
        SimulateParams,
        seed=st.integers(0, 2**31 - 1),
        wells_per_condition=st.just(1),
        fovs_per_well=st.just(1),
        time_points=st.integers(1, 4),
        z_slices=st.sampled_from([1, 1, 2, 3]),
        size=st.integers(64, 150),
        cells_per_fov=st.integers(1, 100),
        difficulty=st.sampled_from(["easy", "default", "hard"]),
        infected_fraction=st.sampled_from([0.0, 0.5, 1.0]),
    )
)
def test_any_settings_give_a_consistent_truth(params: SimulateParams, tmp_path_factory, read_back):
    folder = tmp_path_factory.mktemp("any")
    path = simulate(folder / "any.zarr", params)
    if (pd.read_csv(folder / "any_truth.zarr" / "annotations.csv")).empty:
        return
    assert_truthful(read_back(path))
