from __future__ import annotations

import pytest

from napari_dynaclr import Job, evaluate, track
from napari_dynaclr.core.errors import MissingInput
from napari_dynaclr.core.registry import parse


def test_it_says_how_cells_move_and_what_suits_them(processed):
    job = Job()
    table = evaluate(processed, parse("evaluate", "motion", {}), job)
    assert table["fov_name"].tolist() == processed.fov_names
    assert (table["step"] > 0.3).all()
    assert (table["far_step"] > table["step"]).all()
    assert (table["spacing"] > table["diameter"] / 2).all()
    assert len(job.notes) == len(table) + 1
    assert "Settings for 'track': max_distance=" in job.notes[0]
    names = ["max_distance", "max_division_distance"]
    assert f"max_distance={table['max_distance'].max():g}" in job.notes[-1]
    track(processed, parse("track", None, table[names].iloc[0].to_dict()))


def test_it_needs_cells_not_tracks(dataset):
    with pytest.raises(MissingInput, match="run 'segment'"):
        evaluate(dataset, parse("evaluate", "motion", {}))
