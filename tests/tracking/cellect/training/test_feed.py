from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.tracking.cellect.training.feed import Drawing, Feed, Sampler
from napari_dynaclr.tracking.cellect.training.frames import Place, gather, hold_out

PLAIN = Drawing((1, 64, 64), 1, 0.25, False)


@pytest.fixture
def stretches(dataset, truth):
    return hold_out(gather([dataset], "Nuclei", "scaled", str(truth), Job()), 0, "fov", 0)[0]


def feed(stretches, drawing=PLAIN, room=1e9, size=4, samples=16, **more):
    return Feed(stretches, drawing, size, samples, room, 0, Job(), **more)


def same(one, other):
    return all(
        a.images.equal(b.images) and a.levels.equal(b.levels) and a.size.equal(b.size)
        for a, b in zip(one, other, strict=True)
    )


def test_an_epoch_gives_the_same_batches_again_and_another_one_others(stretches):
    one, other = feed(stretches), feed(stretches)
    assert one.fits
    first, again = list(one), list(other)
    assert len(first) == len(one) == 4
    assert all(batch.images.shape == (4, 3, 64, 64, 1) for batch in first)
    assert same(first, again)
    one.epoch = 1
    assert not same(first, list(one))


def test_patches_show_what_is_painted(stretches):
    """Cells are brighter than what is between them, so the truth lies where the pixels do."""
    for batch in feed(stretches, Drawing((1, 64, 64), 2, 0.25, True)):
        for frame in (0, 1):
            inside = (batch.levels[:, frame] >= 2) & (batch.levels[:, frame] <= 4)
            assert inside.any()
            images = batch.images[:, frame].float()
            assert images[inside].mean() > 2 * images[batch.segmentation[:, frame] == 0].mean()


def test_what_does_not_fit_is_streamed_each_frame_read_once(stretches, monkeypatch):
    reads = []
    plain = Place.read

    def read(self, times):
        reads.extend((self.fov.name, t) for t in times)
        return plain(self, times)

    monkeypatch.setattr(Place, "read", read)
    streamed = feed(stretches, room=3.2e6, samples=40)
    assert not streamed.fits
    batches = list(streamed)
    assert len(batches) == 10
    assert len(reads) == len(set(reads)) > 10
    drawn = sum(int(batch.levels.eq(4).sum()) for batch in batches)
    whole = feed(stretches, samples=40)
    assert whole.fits
    assert drawn == sum(int(batch.levels.eq(4).sum()) for batch in whole)  # the same samples
    assert not same(batches, list(whole))  # in another order
    assert same(batches, list(feed(stretches, room=3.2e6, samples=40)))


def test_processes_share_an_epoch(stretches):
    both = [feed(stretches, rank=rank, ranks=2) for rank in (0, 1)]
    assert [len(one) for one in both] == [2, 2]
    images = [batch.images for one in both for batch in one]
    assert len({one.numpy().tobytes() for one in images}) == 4


def test_divisions_are_drawn_as_often_as_asked(stretches):
    rng = np.random.default_rng(0)
    mothers = Sampler(stretches, PLAIN)._mothers
    assert mothers
    for part, least, most in ((0.0, 0, 0.6), (1.0, 1, 1)):
        sampler = Sampler(stretches, Drawing((1, 64, 64), 1, part, False))
        shown = []
        for _ in range(60):
            draw = sampler.draw(rng)
            points = stretches[draw.stretch].place.points
            rows = points.at(draw.times[0])
            dividing = points.position[rows[points.dividing(rows, draw.times[1])]]
            where = dividing - draw.origin
            shown.append(bool(((where > -0.5) & (where < PLAIN.size)).all(1).any()))
        assert least <= np.mean(shown) <= most


def test_intervals_are_drawn_up_to_the_longest(stretches):
    rng = np.random.default_rng(0)
    sampler = Sampler(stretches, Drawing((1, 64, 64), 3, 0.0, False))
    steps = {(b - a, c - b) for a, b, c in (sampler.draw(rng).times for _ in range(300))}
    assert {one for one, _ in steps} == {1, 2, 3}
    assert (3, 3) in steps
    assert all(two <= one for one, two in steps)  # the last frame stands for what follows


def test_too_little_memory_says_what_to_do(stretches):
    with pytest.raises(InvalidInput, match="too little memory for batches of 4 patches"):
        feed(stretches, room=1e6)
