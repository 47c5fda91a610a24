"""What was made from tracks is what it was, once corrections are taken back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from boxes import FOV, node

from napari_dynaclr import Job, classify, embed, project
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.fov import Fov
from napari_dynaclr.core.registry import parse
from napari_dynaclr.core.shards import SET_ASIDE, read_shard
from napari_dynaclr.embedding.export import export_embedding
from napari_dynaclr.session.desk import write_corrections
from napari_dynaclr.tracking.correction import writing
from napari_dynaclr.tracking.correction.carrying import carry_predictions
from napari_dynaclr.tracking.correction.corrector import Corrector


def state(dataset):
    """All that is on disk of the tracks of a FOV and what was made from them."""
    fov, workspace = dataset.fovs[0], dataset.workspace
    labels = Fov(workspace.plate("tracks") / FOV, FOV)
    shard = read_shard(workspace.shard("features", fov))
    return {
        "tracks": workspace.tracks(fov),
        "labels": np.stack([f[0] for _, f in labels.frames(["labels"], allow_empty=True)]),
        "obs": shard.obs,
        "X": shard.X,
        **shard.obsm,
        "var": shard.var,
        "uns": sorted(shard.uns),
        "edited": workspace.edited("embeddings.features", fov),
        "predictions": workspace.predictions("infection").read_bytes(),
    }


def same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(value, other[name])
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, other[name])
        else:
            assert value == other[name], name


def by_chance(corrector, rng):
    """Do one action on cells drawn by chance; whether it could be done."""
    tracks = corrector.tracks
    one = int(rng.choice(tracks["id"]))
    t = tracks.loc[tracks["id"] == one, "t"].item()
    near = tracks.loc[tracks["t"].between(t - 1, t + 1), "id"].to_numpy()
    other, third = (int(rng.choice(near)) for _ in range(2))
    name = rng.choice(
        ["cut", "link", "swap", "merge", "divide", "undivide", "delete_track", "delete_node", "add"]
    )
    try:
        if name == "add" or len(tracks) < 8:
            corrector.add(int(rng.integers(6)), 0, *rng.integers([3, 42], [37, 57]), 2.0)
        else:
            count = {"divide": 3, "link": 2, "swap": 2, "merge": 2}.get(name, 1)
            options = {"replace": True} if name == "link" else {}
            corrector.do(name, *(one, other, third)[:count], **options)
    except InvalidInput:
        return False
    return True


def test_fifty_actions_written_in_between_and_undone_leave_everything_identical(predicted):
    before, corrector, rng = state(predicted), Corrector(predicted, FOV), np.random.default_rng(0)
    done = 0
    while done < 50:
        if not by_chance(corrector, rng):
            continue
        done += 1
        if done % 10 == 5:
            corrector.write()
    corrector.write()
    shard = read_shard(predicted.workspace.shard("features", predicted.fovs[0]))
    assert SET_ASIDE in shard.uns
    assert len(shard) < len(before["obs"])
    for number in range(done):
        corrector.undo()
        if number % 10 == 5:
            corrector.write()
    assert not corrector.can_undo
    corrector.write()
    same(state(predicted), before)


def test_a_cell_is_gone_from_all_that_others_read_while_it_is_deleted(predicted, tmp_path):
    before, corrector = state(predicted), Corrector(predicted, FOV)
    corrector.delete_track(node(2, 1))
    corrector.write()
    now = state(predicted)
    gone = set(before["obs"]["id"]) - set(now["obs"]["id"])
    assert len(gone) == 6
    assert now["edited"]
    table = pd.read_csv(predicted.workspace.predictions("infection"))
    assert set(table["id"]) == set(now["obs"]["id"])
    shard = export_embedding(predicted, tmp_path / "out.zarr", "features")
    assert len(shard) == len(now["obs"])
    assert SET_ASIDE not in shard.uns
    corrector.undo()
    corrector.write()
    same(state(predicted), before)


def test_where_all_cells_were_deleted_they_come_back(predicted):
    before, corrector = state(predicted), Corrector(predicted, FOV)
    for one in range(1, 5):
        corrector.delete_track(node(2, one))
    corrector.write()
    assert len(state(predicted)["obs"]) == 0
    for _ in range(4):
        corrector.undo()
    corrector.write()
    same(state(predicted), before)


@pytest.mark.parametrize("again", ["embed", "project", "classify"])
def test_what_was_set_aside_is_void_once_a_part_is_made_anew(predicted, again):
    fov, workspace = predicted.fovs[0], predicted.workspace
    count = len(workspace.tracks(fov))
    corrector = Corrector(predicted, FOV)
    corrector.delete_node(node(2, 2))
    corrector.write()
    if again == "embed":
        embed(predicted)
        assert SET_ASIDE not in read_shard(workspace.shard("features", fov)).uns
    elif again == "project":
        project(predicted, parse("project", "pca", {"components": 3}))
    else:
        classify(predicted, parse("classify", "linear", {"folds": 2, "strength": 0.5}))
        assert not workspace.set_aside("infection").exists()
    corrector.undo()
    notes, job = [], Job()
    job.note = notes.append
    corrector.write(job)
    assert any("no embedding 'features' yet" in line for line in notes)
    for _ in range(2):  # it stays known that it is to be made again
        assert len(workspace.embedding("features", fov)) == count - 1
        assert workspace.edited("embeddings.features", fov)
        corrector.cut(node(3, 1))
        corrector.write()
        corrector.undo()
        corrector.write()
    if again == "classify":
        table = pd.read_csv(workspace.predictions("infection"))
        assert node(2, 2) not in set(table["id"])
    embed(predicted)
    assert len(workspace.embedding("features", fov)) == count
    assert not workspace.edited("embeddings.features", fov)


def test_two_fovs_carried_at_once_do_not_undo_each_other(two):
    workspace, keys = two.workspace, {}
    tables = {fov.name: workspace.tracks(fov).query("track_id != 2") for fov in two.fovs}
    keys = {fov.name: workspace.key("tracks", fov) for fov in two.fovs}

    def carry(fov):
        carry_predictions(workspace, fov, tables[fov.name], keys[fov.name])

    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(carry, two.fovs):
            pass
    table = pd.read_csv(workspace.predictions("infection"))
    assert set(table["track_id"]) == {1, 3, 4}
    assert len(table) == sum(map(len, tables.values()))


def test_a_table_waits_for_who_holds_the_lock(two):
    workspace, fov = two.workspace, two.fovs[0]
    tracks, key = workspace.tracks(fov).iloc[:3], workspace.key("tracks", fov)
    file = workspace.predictions("infection")
    before = file.read_bytes()
    with ThreadPoolExecutor(1) as pool:
        with workspace.lock():
            waiting = pool.submit(carry_predictions, workspace, fov, tracks, key)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
            assert file.read_bytes() == before
        waiting.result(timeout=30)
    assert file.read_bytes() != before


def test_annotations_are_written_once_for_many_fovs(two, monkeypatch):
    written = []
    original = writing.write_annotations
    monkeypatch.setattr(
        writing, "write_annotations", lambda data: written.append(1) or original(data)
    )
    for name in two.fov_names:
        Corrector(two, name).delete_node(node(2, 2))
    write_corrections(two, two.fov_names, Job())
    assert written == [1]
    ids = pd.read_csv(two.workspace.annotations_csv)["id"]
    assert node(2, 2) not in set(ids)
