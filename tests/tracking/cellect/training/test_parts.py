from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_dynaclr.tracking.cellect.architecture import CellectConfig
from napari_dynaclr.tracking.cellect.model import Cellect
from napari_dynaclr.tracking.cellect.training import parts
from napari_dynaclr.tracking.cellect.training.detections import Detections, true_centres
from napari_dynaclr.tracking.cellect.training.parts import Losses, _voxels, pairs_of, right_links
from napari_dynaclr.tracking.cellect.training.points import make_points
from napari_dynaclr.tracking.cellect.training.samples import Seen, collate, make_sample

SCALE = (1.0, 1.0, 1.0)


@pytest.fixture
def losses():
    torch.manual_seed(0)
    config = CellectConfig(base=2, levels=3, embedding=8, enhancement_base=1, norm="batch")
    return Losses(Cellect(config), SCALE)


@pytest.fixture
def batch(images, tracks):
    points = make_points(tracks, SCALE, 1)
    return collate(
        [make_sample(images, points, times, (0, 0, 0), SCALE) for times in ((0, 1, 2), (1, 2, 2))]
    )


def test_pairs_are_ordered_as_their_targets(batch):
    pairs = pairs_of(batch.images)
    assert pairs.shape == (4, 2, 40, 40, 1)
    assert pairs[1].equal(batch.images[1, :2].float())
    assert pairs[2].equal(batch.images[0, 1:].float())


def test_mothers_are_daughters_and_sisters_are_nothing():
    first, second = np.array([0, 0, 1]), np.array([0, 1, 1, 2, 3])
    same, other = parts._relations(first, second, np.array([0, 0, 1, -1]))
    names = [("mother", 0), ("mother", 0), ("cell", 1), ("a", 0), ("b", 0), ("b", 0), ("cell", 1),
             ("new", 2)]  # fmt: skip
    for i, (one, root) in enumerate(names):
        for j, (two, base) in enumerate(names):
            sisters = {one, two} == {"a", "b"}
            assert same[i, j] == (i != j and root == base and not sisters), (i, j)
            assert other[i, j] == (root != base), (i, j)


def test_what_is_new_is_no_kin_of_a_cell_whose_centre_lies_outside():
    # Cell 3 of the first frame is not in view, though what came from it is.
    same, other = parts._relations(np.array([0]), np.array([0, 1]), np.array([3, -1]))
    assert not same.any()
    assert (other == ~np.eye(3, dtype=bool)).all()


def test_links_know_what_is_right(losses, batch):
    seen = [one.first for one in batch.samples] + [one.second for one in batch.samples]
    maps = losses.model.net.see(pairs_of(batch.images))
    links = losses.links(maps, batch, [true_centres(one) for one in seen])
    # The first sample has two cells of which one goes on; the second one that divides.
    assert links.dividing.tolist() == [False, False, True]
    assert links.there.sum(1).tolist() == [2, 2, 5]
    # Candidates are ordered by their distance: (11, 10) only; then (6, 10), (16, 10), ...
    assert links.right[0].tolist() == [1, 0, 0, 0, 0, 0]
    assert links.right[1].tolist() == [0, 0, 0, 0, 0, 1]
    assert links.right[2].tolist() == [1, 1, 0, 0, 0, 0]
    assert links.scores.shape == (3, 6)
    loss = losses.of_linking(links, maps)
    loss.backward()
    assert loss.item() > 0
    assert losses.model.inter.mlp.out.weight.grad.any()
    assert losses.model.net.embed.weight.grad.any()
    sure = links._replace(scores=torch.where(links.right > 0, 20.0, -20.0))
    assert right_links(sure).all()
    assert not right_links(sure._replace(scores=-sure.scores)).any()


def test_what_was_found_twice_is_to_be_merged(losses, batch, monkeypatch):
    told = []
    plain = parts.scores_loss
    monkeypatch.setattr(
        parts, "scores_loss", lambda s, there, right: told.append(right) or plain(s, there, right)
    )
    maps = losses.model.net.see(pairs_of(batch.images))
    twice = Detections(np.array([[0, 10, 10], [0, 30, 30], [0, 12, 10]]), np.array([0, 1, 0]))
    none = Detections(np.zeros((0, 3), np.int64), np.zeros(0, np.int64))
    wrong = Detections(np.array([[0, 1, 1], [0, 2, 2]]), np.array([-1, -1]))
    losses.of_merging(maps, [twice, none, wrong, none]).backward()
    assert told[0].tolist() == [
        [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1],
    ]  # fmt: skip
    assert losses.of_merging(maps, [none] * 4).item() == 0


def test_found_cells_are_taken_when_they_are_of_use(losses, batch):
    rng = np.random.default_rng(0)
    flood = np.stack([np.zeros(50), np.arange(50) % 40, np.arange(50) % 37], 1).astype(np.int64)
    right = [true_centres(one).voxels for one in (batch.samples[0].first, batch.samples[1].first)]
    cells = losses.detections(batch, rng, [right[0], flood, flood[:0], flood])
    assert sorted(map(tuple, cells[0].voxels)) == sorted(map(tuple, right[0]))
    assert all(len(one.cell) < 20 for one in cells)
    assert all(len(one.cell) for one in losses.detections(batch, rng, None))


def test_all_losses_of_an_empty_field_are_finite(losses, images, tracks):
    points = make_points(tracks, SCALE, 1)
    empty = images[:, :, :16, :16]
    batch = collate([make_sample(empty, points, (0, 1, 2), (0, 20, 0), SCALE)])
    maps = losses.model.net.see(pairs_of(batch.images))
    rng = np.random.default_rng(0)
    cells = losses.detections(batch, rng, None)
    assert losses.links(maps, batch, cells) is None
    found = losses.of_maps(maps, batch)
    found["embedding"] = losses.of_embedding(maps, batch, rng)
    found["merging"] = losses.of_merging(maps, cells)
    found["linking"] = losses.of_linking(None, maps)
    sum(found.values()).backward()
    assert all(bool(torch.isfinite(one)) for one in found.values())
    assert found["size"].item() == found["embedding"].item() == found["linking"].item() == 0


@pytest.mark.parametrize("depth", [1, 9])
def test_the_voxels_of_a_cell_fill_it_also_in_one_slice(depth):
    rng = np.random.default_rng(0)
    middle = depth // 2
    count = 60
    seen = Seen(
        np.tile([32.0, 32.0, middle], (count, 1)),
        np.tile([6.0, 6.0, 4.0], (count, 1)),
        np.zeros(count, bool),
        np.zeros(count, bool),
        np.ones(count, bool),
    )
    drawn = _voxels(seen, (64, 64, depth), rng)
    assert len(drawn.voxels) == count * 5, "none of them is outside"
    away = np.linalg.norm((drawn.voxels - [middle, 32, 32]) / [4, 6, 6], axis=1)
    assert away.max() < 1.3
    assert (away > 0.6).sum() > count
