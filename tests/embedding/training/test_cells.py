from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.embedding.cell_patches import Window, read_cells
from napari_dynaclr.embedding.training.cells import gather, hold_out, read_patches

WINDOW = Window(("Phase", "Sensor"), (1, 60, 60), None, ("mean-std", "cell-percentiles"), inner=32)


def test_all_tracked_cells_are_gathered_but_for_those_near_the_edge(processed):
    cells, dropped = gather([processed], WINDOW, keep_border=False, job=Job())
    whole, none = gather([processed], WINDOW, keep_border=True, job=Job())
    tables = [processed.workspace.tracks(fov) for fov in processed.fovs]
    assert len(whole.nodes) == sum(map(len, tables))
    assert none == 0
    assert dropped == len(whole.nodes) - len(cells.nodes) > 0
    kept = []
    for table in tables:
        first = np.floor(table[["y", "x"]] - 29.5 + 0.5)
        kept.append(table[((first >= 0) & (first + 60 <= 192)).all(axis=1)])
    assert len(cells.nodes) == sum(map(len, kept))
    np.testing.assert_array_equal(
        cells.nodes.t, np.concatenate([table["t"].to_numpy() for table in kept])
    )
    assert set(cells.nodes.fov) == set(range(4))


def test_two_datasets_stay_apart(processed):
    cells, _ = gather([processed, processed], WINDOW, keep_border=True, job=Job())
    half = len(cells.nodes) // 2
    assert set(cells.nodes.dataset[:half]) == {0}
    assert set(cells.nodes.dataset[half:]) == {1}
    assert set(cells.nodes.fov[half:]) == {4, 5, 6, 7}


def test_without_tracks_it_names_the_stage_to_run(dataset):
    with pytest.raises(MissingInput, match="run 'track'"):
        gather([dataset], WINDOW, keep_border=True, job=Job())


def test_where_all_cells_are_at_the_edge_it_says_what_to_do(processed):
    wide = Window(("Phase",), (1, 200, 200), None, ("none",))
    with pytest.raises(InvalidInput, match="choose a smaller patch_size"):
        gather([processed], wide, keep_border=False, job=Job())


@pytest.mark.parametrize(("unit", "held_fovs"), [("fov", 1), ("well", 2)])
def test_whole_fovs_or_wells_are_held_out(processed, unit, held_fovs):
    cells, _ = gather([processed], WINDOW, keep_border=True, job=Job())
    rows, held, told = hold_out(cells, 0.2, unit, seed=0)
    assert len(set(cells.nodes.fov[held])) == held_fovs
    assert not set(cells.nodes.fov[rows]) & set(cells.nodes.fov[held])
    assert sorted([*rows, *held]) == list(range(len(cells.nodes)))
    assert told.startswith("Held out for validation: ")
    names = {cells.sources[i].fov.name for i in set(cells.nodes.fov[held])}
    if unit == "well":
        assert len({name.rpartition("/")[0] for name in names}) == 1


def test_of_one_fov_nothing_can_be_held_out(processed):
    one = processed.select([processed.fov_names[0]])
    cells, _ = gather([one], WINDOW, keep_border=True, job=Job())
    rows, held, told = hold_out(cells, 0.2, "fov", seed=0)
    assert len(held) == 0
    assert len(rows) == len(cells.nodes)
    assert "nothing is held out" in told


def test_patches_are_those_that_an_embedding_reads(processed):
    """The middle of the wide patch is normalised as the patch that the network will see."""
    cells, _ = gather([processed], WINDOW, keep_border=False, job=Job())
    rows = np.arange(0, len(cells.nodes), 7)
    pixels = read_patches(cells, rows, WINDOW, Job())
    assert pixels.patches.shape == (len(rows), 2, 1, 60, 60)
    narrow = Window(WINDOW.channels, (1, 32, 32), None, WINDOW.modes)
    for i, row in enumerate(rows[:20]):
        source = cells.sources[cells.nodes.fov[row]]
        table = source.tracks.iloc[[cells.place[row]]]
        (piece,) = read_cells(
            source.dataset, source.fov, table, [int(table["t"].iloc[0])], narrow, Job()
        )
        np.testing.assert_allclose(
            pixels.patches[i, :, :, 14:46, 14:46], piece.pixels[0], rtol=2e-3, atol=2e-3
        )
    again = pixels.at(rows[[3, 1, 1]])
    np.testing.assert_array_equal(again, pixels.patches[[3, 1, 1]])
