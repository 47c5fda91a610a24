"""The MLPs: layouts, candidates that are not there, and that they learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_dynaclr.tracking.cellect.architecture import CellectConfig
from napari_dynaclr.tracking.cellect.candidates import Cells, nearest, pair_features
from napari_dynaclr.tracking.cellect.heads import NEVER, InterFrame, IntraFrame

CONFIG = CellectConfig(embedding=8)


def some_pairs(count, others, *, seed=0, config=CONFIG):
    draw = np.random.default_rng(seed)

    def cells(many):
        return Cells(
            draw.uniform(0, 50, (many, 3)).astype(np.float32),
            torch.as_tensor(draw.normal(size=(many, config.embedding)), dtype=torch.float32),
            torch.as_tensor(draw.uniform(2, 6, many), dtype=torch.float32),
            torch.as_tensor(draw.uniform(0, 1, (many, 2)), dtype=torch.float32),
        )

    one, two = cells(count), cells(others)
    return pair_features(one, two, nearest(one.position, two.position, config.candidates))


@pytest.mark.parametrize("candidates", [5, 10])
def test_scores_of_each_candidate_of_none_and_of_division(candidates):
    config = CellectConfig(embedding=8, candidates=candidates)
    pairs = some_pairs(7, 20, config=config)
    assert IntraFrame(config)(pairs).shape == (7, candidates + 1)
    found = InterFrame(config)(pairs)
    assert found.link.shape == (7, candidates + 1)
    assert found.division.shape == (7, 2)


def test_candidates_that_are_not_there_can_never_win_and_teach_nothing():
    pairs = some_pairs(6, 2)
    link = InterFrame(CONFIG)(pairs).link
    assert (link[:, 2:5] == NEVER).all()
    assert (torch.sigmoid(link[:, 2:5]) == 0).all()
    loss = F.binary_cross_entropy_with_logits(link, torch.zeros_like(link), reduction="none")
    assert (loss[:, 2:5] == 0).all()
    assert torch.isfinite(loss).all()
    assert (link[:, [0, 1, 5]] > NEVER / 2).all()


def test_a_single_cell_is_scored():
    found = InterFrame(CONFIG).eval()(some_pairs(1, 4))
    assert torch.isfinite(found.link).all()


def test_it_learns_which_candidate_is_most_alike():
    torch.manual_seed(0)
    head = InterFrame(CONFIG)
    optimizer = torch.optim.Adam(head.parameters(), 3e-3)

    def batch(seed):
        pairs = some_pairs(64, 64, seed=seed)
        right = torch.as_tensor(np.random.default_rng(seed).integers(0, 5, 64))
        candidate = pairs.candidate.clone()
        candidate[torch.arange(64), right] = pairs.target + 0.01
        return pairs._replace(candidate=candidate), right

    for step in range(80):
        pairs, right = batch(step)
        wanted = F.one_hot(right, 6).float()
        loss = F.binary_cross_entropy_with_logits(head(pairs).link, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pairs, right = batch(1000)
    found = head.eval()(pairs).link.argmax(1)
    assert (found == right).float().mean() > 0.6  # chance: 0.17
