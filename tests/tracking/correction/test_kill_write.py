"""Kill -9 anywhere while corrections are written: a good state, which writing again finishes."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from boxes import FOV, node
from commands import killed_at, strays

from napari_dynaclr import Job, open_dataset
from napari_dynaclr.core.atomic import TEMPORARY
from napari_dynaclr.core.errors import MissingInput
from napari_dynaclr.core.fov import Fov
from napari_dynaclr.core.shards import nodes
from napari_dynaclr.core.tables import read_tracks
from napari_dynaclr.session.cells import load_cells
from napari_dynaclr.tracking.correction.corrector import Corrector

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")


@pytest.fixture(scope="module")
def processes():
    """Start processes from a clean one that has imported everything already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["commands", "iohub.ngff", "anndata", "napari_dynaclr.tracking.correction.writing"]
    )
    return context


def run(processes, home, number, root):
    args = ["correct", str(root), "--workspace", str(home)]
    process = processes.Process(target=killed_at, args=(str(home), number, args))
    process.start()
    process.join(120)
    return process.exitcode


def pixels(folder):
    return np.stack([f[0] for _, f in Fov(folder, FOV).frames(["labels"], allow_empty=True)])


def state(root, home):
    """What others read of the corrected FOV."""
    dataset = open_dataset(root, home)
    fov, workspace = dataset.fovs[0], dataset.workspace
    return (
        workspace.tracks(fov),
        pixels(workspace.plate("tracks") / FOV),
        nodes(workspace.embedding("features", fov)),
        read_tracks(workspace.plate("linked") / FOV / "tracks.csv"),
        pixels(workspace.plate("linked") / FOV),
    )


def same(one, other):
    for a, b in zip(one, other, strict=True):
        if isinstance(a, pd.DataFrame):
            pd.testing.assert_frame_equal(a, b)
        else:
            np.testing.assert_array_equal(a, b)


def check(processes, dataset, tmp_path, kills):
    root, start = dataset.root, dataset.workspace.path
    corrector = Corrector(dataset, FOV)
    corrector.cut(node(3, 1))
    corrector.delete_node(node(2, 2))
    corrector.write()
    written = len(corrector.tracks)
    # A second round, so that there is something corrected on disk to replace.
    corrector.undo()
    corrector.swap(node(2, 2), node(2, 3))
    corrector.add(1, 0, 30, 50, 3.0)
    home = tmp_path / "killed.dynaclr"
    shutil.copytree(start, home)
    assert run(processes, home, 0, root) == 0
    count = int(Path(f"{home}.count").read_text())
    expected = state(root, home)
    pd.testing.assert_frame_equal(expected[0], corrector.tracks)
    shutil.rmtree(home)
    for moment in sorted(random.Random(0).sample(range(1, count), min(kills, count - 1))):
        shutil.copytree(start, home)
        assert run(processes, home, moment, root) == -9, moment
        here = open_dataset(root, home)
        fov = here.fovs[0]
        # Whoever reads tracks gets the new ones, or is told what to do.
        try:
            pd.testing.assert_frame_equal(here.workspace.tracks(fov), expected[0])
        except MissingInput as error:
            assert error.made_by == "correct", moment
        # A viewer shows what there is, and a person can go on.
        assert len(load_cells(here, "features", Job())) in (written, len(expected[0]))
        pd.testing.assert_frame_equal(Corrector(here, FOV).tracks, expected[0])
        for left in home.rglob(".*"):
            if TEMPORARY.search(left.name):
                os.utime(left, (time.time() - 60,) * 2)
        assert run(processes, home, 0, root) == 0
        same(state(root, home), expected)
        assert here.workspace.edited("embeddings.features", fov), "the added cell has no vector"
        assert strays(home) in ([], [".partial"])
        assert [p for p in (home / ".partial").rglob("*") if p.is_file()] == []
        shutil.rmtree(home)


def test_a_write_that_was_killed_is_finished_by_the_next_one(processes, embedded, tmp_path):
    check(processes, embedded, tmp_path, kills=1)


@pytest.mark.slow
def test_kill_at_any_file_operation(processes, embedded, tmp_path):
    check(processes, embedded, tmp_path, kills=60)
