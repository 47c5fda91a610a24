from __future__ import annotations

import pandas as pd
import pytest

from napari_dynaclr import evaluate
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.registry import parse


def test_tracks_of_different_fovs_are_not_joined(processed):
    """Track ids begin at 1 in every FOV."""
    table = evaluate(processed).set_index("metric")["value"]
    expected = 0
    for fov in processed.fovs:
        tracks = processed.workspace.tracks(fov)
        expected += (tracks.groupby("track_id")["t"].diff() == 1).sum()
    assert table["adjacent_pairs"] == expected
    assert table["smoothness"] == pytest.approx(
        table["mean_adjacent_distance"] / table["mean_random_distance"]
    )
    assert 0 < table["smoothness"] < 1
    stored = pd.read_csv(processed.workspace.evaluation("smoothness"))
    assert stored.set_index("metric")["value"].to_dict() == pytest.approx(table.to_dict())


def test_tracks_of_one_time_point_are_one_line(processed):
    fov = processed.fovs[0]
    shard = processed.workspace.embedding("features", fov)
    from napari_dynaclr.core.shards import write_shard

    write_shard(processed.workspace.shard("features", fov), shard[shard.obs["t"] == 0].copy())
    with pytest.raises(InvalidInput, match="No track has two successive time points"):
        evaluate(processed.select([fov.name]))


def test_without_the_embedding_it_names_the_stage_to_run(dataset):
    with pytest.raises(MissingInput, match="run 'embed'"):
        evaluate(dataset, parse("evaluate", "smoothness", {}))
