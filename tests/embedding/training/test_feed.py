from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.embedding.cell_patches import Window
from napari_dynaclr.embedding.training import feed as module
from napari_dynaclr.embedding.training.cells import Cells, Pixels
from napari_dynaclr.embedding.training.feed import Feed, Pairing
from napari_dynaclr.embedding.training.pairs import Nodes

WINDOW = Window(("A",), (1, 2, 2), None, ("none",))
ONE = 2 * 4  # bytes of a patch
TIME_AWARE = Pairing("time-aware", True, {0: 1}, True)


def movies(fovs=3, tracks=6, times=8):
    """Cells of some FOVs, all there all the time."""
    fov, track, t = np.unravel_index(np.arange(fovs * tracks * times), (fovs, tracks, times))
    nodes = Nodes(
        np.zeros_like(fov), fov, track + 1, np.full_like(fov, -1), t, fov * tracks + track
    )
    return Cells(tuple(SimpleNamespace() for _ in range(fovs)), nodes, np.arange(len(fov)))


@pytest.fixture
def reads(monkeypatch):
    """Patches whose pixels say which cell they are of; what was read, of which cells, in turn.

    Threads of an earlier test may read on a little.
    """
    found = []

    def read(cells, rows, window, job, **report):
        found.append((cells, rows))
        patches = np.broadcast_to(rows[:, None, None, None, None], (len(rows), 1, 1, 2, 2))
        return Pixels(rows, patches.astype(np.float16))

    monkeypatch.setattr(module, "read_patches", read)
    return found


def make(cells, room=1e9, size=8, rank=0, ranks=1, groups=None, pairing=TIME_AWARE, seed=0):
    rows = np.arange(len(cells.nodes))
    return Feed(cells, rows, pairing, groups, WINDOW, size, room, seed, Job(), rank, ranks)


def room_for(cells, most, size, parts=3):
    """Memory with which so many cells may be in a block."""
    return (3 * most + 3 * parts * size) * ONE


def ids(patches):
    return patches[:, 0, 0, 0, 0].astype(int)


@pytest.mark.parametrize("room", [1e9, (60 * 3 + 9 * 8) * ONE])
def test_pairs_are_right_wherever_the_patches_come_from(reads, room):
    cells = movies()
    feed = make(cells, room)
    n = cells.nodes
    for batch in feed:
        a, p, other = (ids(one) for one in (batch.anchor, batch.positive, batch.negative))
        np.testing.assert_array_equal(n.t[p], n.t[a] + 1)
        np.testing.assert_array_equal(n.track[p], n.track[a])
        np.testing.assert_array_equal(n.fov[p], n.fov[a])
        np.testing.assert_array_equal(n.t[other], n.t[p])
        assert ((n.track[other] != n.track[a]) | (n.fov[other] != n.fov[a])).all()


@given(most=st.integers(2, 40), size=st.integers(2, 4), tau=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_an_epoch_in_blocks_has_every_anchor_once_and_little_in_memory(most, size, tau):
    cells, found = movies(fovs=5, tracks=8, times=10), []
    pairing = Pairing("time-aware", True, {0: tau}, False)
    with pytest.MonkeyPatch.context() as patch:

        def read(of, rows, _window, _job, **_report):
            if of is cells:  # threads of the example before may read on a little
                found.append(rows)
            shape = (len(rows), 1, 1, 2, 2)
            return Pixels(rows, np.broadcast_to(rows.reshape(-1, 1, 1, 1, 1), shape))

        patch.setattr(module, "read_patches", read)
        # As the batches take most of it where blocks are small.
        most += 8 * size
        feed = make(cells, room_for(cells, most, size, 2), size, pairing=pairing)
        assert not feed.fits
        batches = list(feed)
    assert len(batches) == len(feed) == 5 * 8 * (10 - tau) // size
    anchors = np.concatenate([ids(batch.anchor) for batch in batches])
    assert len(set(anchors)) == len(anchors)
    assert max(map(len, found)) <= most


def test_what_fits_is_read_once(reads):
    cells = movies()
    feed = make(cells)
    first = [ids(batch.anchor).tolist() for batch in feed]
    feed.epoch = 1
    second = [ids(batch.anchor).tolist() for batch in feed]
    assert [of is cells for of, _ in reads].count(True) == 1
    assert first != second
    feed.epoch = 0
    assert first == [ids(batch.anchor).tolist() for batch in feed]


def test_of_a_frame_that_does_not_fit_some_families_are_read_at_a_time(reads):
    cells = movies(fovs=1, tracks=64, times=4)
    feed = make(cells, room_for(cells, 40, 4), size=4)
    anchors = np.concatenate([ids(batch.anchor) for batch in feed])
    assert len(set(anchors)) == len(anchors) == 64 * 3
    assert max(len(rows) for of, rows in reads if of is cells) <= 40


@pytest.mark.parametrize("room", [1e9, (60 * 3 + 9 * 8) * ONE])
@pytest.mark.parametrize("ranks", [2, 7])
def test_processes_get_equally_many_batches(reads, room, ranks):
    cells = movies()
    parts = [[ids(b.anchor) for b in make(cells, room, 8, r, ranks)] for r in range(ranks)]
    assert {len(part) for part in parts} == {len(make(cells, room, ranks=ranks))}
    if room == 1e9:
        whole = np.concatenate([np.concatenate(part) for part in parts])
        assert len(set(whole)) == len(whole)


@pytest.mark.parametrize("room", [1e9, (120 * 3 + 9 * 8) * ONE])
def test_groups_are_balanced_among_the_anchors_in_blocks_too(reads, room):
    """Half of the tracks of one group are so short that they have no anchors."""
    cells = movies(fovs=4, tracks=10, times=12)
    lost = (cells.nodes.fov == 0) & (cells.nodes.track > 5) & (cells.nodes.t > 0)
    nodes = cells.nodes.take(~lost)
    cells = Cells(cells.sources, nodes, np.arange(len(nodes)))
    anchors = []
    feed = make(cells, room, groups=(nodes.fov == 0).astype(np.int64))
    for epoch in range(6):
        feed.epoch = epoch
        anchors += [ids(batch.anchor) for batch in feed]
    share = (nodes.fov[np.concatenate(anchors)] == 0).mean()
    assert share == pytest.approx(0.5, abs=0.05)


def test_batches_that_leave_no_room_are_refused(reads):
    with pytest.raises(InvalidInput, match="choose a smaller batch_size or patch_size"):
        make(movies(), 80 * ONE, size=32)


def test_batches_are_smaller_where_there_are_few_cells(reads):
    cells = movies(fovs=1, tracks=2, times=4)
    feed = make(cells, size=256)
    assert feed.size == len(feed) * 6 == 6
    with pytest.raises(InvalidInput, match="at least 2 each"):
        make(cells, ranks=4)


def test_negatives_are_not_copied_where_nobody_wants_them(reads):
    feed = make(movies(), pairing=Pairing("classical", True, {}, False))
    batch = next(iter(feed))
    assert batch.negative is None
    np.testing.assert_array_equal(batch.anchor, batch.positive)
