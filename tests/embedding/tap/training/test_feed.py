from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.fov import Fov
from napari_dynaclr.core.job import Job
from napari_dynaclr.embedding.tap.training.feed import Drawing, Feed, Sampler, cut_pair
from napari_dynaclr.embedding.tap.training.movies import Place, Stretch
from napari_dynaclr.learning.feed import Share

DRAWING = Drawing(32, 48, 0.4, 0.4)


def feed(stretches, room=1e9, pairs=24, share=None, drawing=DRAWING):
    found = Feed(stretches, drawing, 4, pairs, room, 0, Job(), share)
    found.look()
    return found


def counted(monkeypatch):
    """Count which frames are read."""
    reads = []
    plain = Fov.frames

    def frames(self, channels, times=None, **more):
        reads.extend((self.name, t) for t in times)
        return plain(self, channels, times, **more)

    monkeypatch.setattr(Fov, "frames", frames)
    return reads


def test_an_epoch_gives_the_same_batches_again_and_another_one_others(stretches, monkeypatch):
    reads = counted(monkeypatch)
    one = feed(stretches)
    assert one.fits
    first = list(one)
    assert len(first) == len(one) == 6
    assert all(batch.shape == (4, 2, 1, 48, 48) for batch in first)
    assert all(batch.dtype == np.float16 for batch in first)
    assert np.array_equal(first, list(one))
    one.epoch = 1
    assert not np.array_equal(first, list(one))
    assert sorted(reads) == sorted({(s.place.fov.name, t) for s in stretches for t in range(10)})


def test_what_does_not_fit_is_streamed_each_frame_read_once_an_epoch(stretches, monkeypatch):
    streamed = feed(stretches, room=1.9e6)
    assert not streamed.fits
    reads = counted(monkeypatch)
    batches = list(streamed)
    assert len(batches) == 6
    assert len(reads) == len(set(reads)) > 10
    whole = list(feed(stretches))
    assert not np.array_equal(batches, whole)  # in another order
    kinds = [sorted(one.tobytes() for batch in some for one in batch) for some in (batches, whole)]
    assert kinds[0] == kinds[1]  # the same pairs


def test_processes_share_an_epoch(stretches):
    both = [feed(stretches, share=Share(rank, 2)) for rank in (0, 1)]
    assert [len(one) for one in both] == [3, 3]
    assert len({batch.tobytes() for one in both for batch in one}) == 6


def test_too_little_memory_says_what_to_do(stretches):
    with pytest.raises(InvalidInput, match="too little memory for batches of 4 patches"):
        feed(stretches, room=1e5)


def test_a_pair_is_of_one_place_and_so_many_frames_apart(movie):
    """Every pixel says where and when it is."""
    t, z, y, x = np.ogrid[:9, :2, :40, :56]
    images = (t * 1000 + z * 100 + y + x / 100).astype(np.float32)
    dataset = movie(images)
    stretch = Stretch(Place(0, dataset, dataset.fovs[0], "Nuclei", "slices", 3), 2, 8)
    list(stretch.read(range(2, 9)))
    sampler = Sampler([stretch], Drawing(16, 32, 0.3, 0.3))
    rng = np.random.default_rng(0)
    times, slices = set(), set()
    for _ in range(200):
        draw = sampler.draw(rng)
        times.add(draw.times)
        slices.add(draw.z)
        pair = cut_pair(draw, [images[one] for one in draw.times], 32)
        assert np.allclose(pair[1] - pair[0], 3000, atol=1)
        # The patch is what is in the middle of the crop, and lies in the image.
        top, left = (one + 8 for one in draw.origin)
        assert 0 <= top <= 24
        assert 0 <= left <= 40
        expected = images[draw.times[0], draw.z, top : top + 16, left : left + 16]
        assert np.array_equal(pair[0, 0, 8:24, 8:24], expected)
    assert times == {(t, t + 3) for t in range(2, 6)}
    assert slices == {0, 1}


def test_beyond_the_edge_an_image_is_reflected(movie):
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    from napari_dynaclr.embedding.tap.training.feed import Draw

    pair = cut_pair(Draw(0, (0, 1), 0, (-2, 1)), [image, image], 6)
    assert pair[0, 0, :, 0].tolist() == [9, 5, 1, 5, 9, 13]
    assert pair[0, 0, 2].tolist() == [1, 2, 3, 2, 1, 0]


def test_pairs_are_drawn_where_there_is_something_and_where_it_changes(movie):
    rng = np.random.default_rng(0)
    images = rng.normal(0, 0.01, (4, 1, 128, 128)).astype(np.float32)
    images[:, 0, 8:24, 8:24] += 1  # stays
    images[::2, 0, 100:116, 100:116] += 1  # comes and goes
    dataset = movie(images)
    stretch = Stretch(Place(0, dataset, dataset.fovs[0], "Nuclei", "slices", 1), 0, 3)
    list(stretch.read(range(4)))

    def shown(drawing, y, x):
        sampler = Sampler([stretch], drawing)
        found = [np.array(sampler.draw(rng).origin) for _ in range(200)]
        return np.mean([((np.array([y, x]) - one >= 0) & (np.array([y, x]) - one < 32)).all()
                        for one in found])  # fmt: skip

    assert shown(Drawing(32, 32, 1.0, 0.0), 16, 16) > 0.4
    assert shown(Drawing(32, 32, 1.0, 0.0), 108, 108) > 0.2
    assert shown(Drawing(32, 32, 0.0, 1.0), 108, 108) > 0.9
    assert shown(Drawing(32, 32, 0.0, 0.0), 16, 16) < 0.2


def test_datasets_count_alike_however_large(dataset, movie):
    small = movie(np.random.default_rng(0).normal(size=(3, 1, 64, 64)).astype(np.float32))
    both = [
        Stretch(Place(number, data, fov, "Nuclei", "slices", 1), 0, fov.shape[0] - 1)
        for number, data in enumerate((dataset, small))
        for fov in data.fovs
    ]
    for one in both:
        list(one.read(range(one.last + 1)))
    sampler = Sampler(both, DRAWING)
    rng = np.random.default_rng(0)
    drawn = [both[sampler.draw(rng).stretch].place.number for _ in range(300)]
    assert 0.4 < np.mean(drawn) < 0.6
