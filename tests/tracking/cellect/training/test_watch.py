from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr.core.job import Job
from napari_dynaclr.tracking.cellect.training.feed import Drawing
from napari_dynaclr.tracking.cellect.training.frames import gather, hold_out
from napari_dynaclr.tracking.cellect.training.points import make_points
from napari_dynaclr.tracking.cellect.training.samples import make_sample
from napari_dynaclr.tracking.cellect.training.watch import PATCHES, CentreScore, Watch

PLAIN = Drawing((1, 32, 32), 1, 0.25, False)
SCALE = (1.0, 1.0, 1.0)


@pytest.fixture
def stretches(dataset, truth):
    return hold_out(gather([dataset], "Nuclei", "scaled", str(truth), Job()), 0, "fov", 0)[0]


@pytest.mark.parametrize(("most", "room", "count"), [(9, 1e9, 9), (400, 1e9, PATCHES), (9, 2e4, 3)])
def test_so_many_samples_are_watched_always_the_same(stretches, most, room, count):
    one, other = (Watch(stretches, PLAIN, most, room, 0, True, Job()) for _ in range(2))
    assert len(one.samples) == count
    assert sum(len(batch.samples) for batch in one.batches(4)) == count
    for a, b in zip(one.samples, other.samples, strict=True):
        assert np.array_equal(a.images, b.images)
    cells = [int(sample.first.inside.sum()) for sample in one.samples]
    assert cells[one.shown] == max(cells)


def test_centres_count_once_and_not_where_the_cell_is_cut_off(images, tracks):
    points = make_points(tracks, SCALE, 1)
    # In the window: a daughter, the other one cut off at y = 16, and nothing at (2, 12).
    part = images[:, :, :20, :20]
    seen = make_sample(part, points, (1, 2, 2), (0, 0, 4), SCALE, (1, 40, 40)).second
    assert seen.inside.tolist()[:2] == [True, False]
    score = CentreScore()
    score.add(np.array([[0, 6, 6], [0, 7, 6], [0, 14, 6], [0, 1, 13]]), seen)
    assert (score.right, score.wrong, score.missed) == (1, 2, 0)
    score.add(np.zeros((0, 3), np.int64), seen)
    assert (score.right, score.wrong, score.missed) == (1, 2, 1)
    assert score.f1 == pytest.approx(2 / 5)
    assert CentreScore().f1 == 1
