"""Every formula against a plain and slow one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from napari_dynaclr.tracking.cellect.training.losses import (
    centre_loss,
    division_loss,
    scores_loss,
    size_loss,
    triplet_loss,
)


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("rare", [1.0, 32.0])
def test_centre_loss_is_the_papers_sum(rare):
    scores, levels = draw(2, 5, 3, 4, 2), torch.randint(0, 5, (2, 3, 4, 2))
    expected = 0.0
    for i in range(1, 5):
        for j in range(i, 5):
            terms = []
            for b, *place in np.ndindex(levels.shape):
                a = scores[(b, slice(None), *place)].tolist()
                label = int(levels[(b, *place)])
                if label != 0 and label < i:
                    continue  # neither positive nor negative
                pair = [max(a[:j]), a[j]]
                right = 1 if label >= i else 0
                share = math.exp(pair[right]) / sum(map(math.exp, pair))
                terms.append(-math.log(share) * (rare if right else 1.0))
            expected += sum(terms) / len(terms)
    assert float(centre_loss(scores, levels, rare)) == pytest.approx(expected)


def test_centre_loss_is_low_for_the_right_levels_and_has_a_gradient():
    levels = torch.tensor([[0, 1, 2, 3, 4, 3, 2, 1, 0]])
    right = torch.zeros(1, 5, 9)
    right[:, 0] = torch.where(levels == 0, 20.0, 0.0)
    right[:, 4] = torch.where(levels > 0, 60.0, 0.0)
    right[:, 3] = torch.where(levels > 0, 50.0, 0.0)
    right[:, 2] = torch.where(levels > 0, 40.0, 0.0)
    right[:, 1] = torch.where(levels > 0, 30.0, 0.0)
    assert float(centre_loss(right, levels)) < 0.01
    wrong = right.clone().requires_grad_()
    loss = centre_loss(wrong.flip(2).roll(3, 2), levels)
    loss.backward()
    assert loss.item() > 10
    assert bool(wrong.grad.any())


def test_size_is_compared_within_cells_only():
    size, true = draw(2, 4, 4).abs(), torch.zeros(2, 4, 4, dtype=torch.float64)
    true[0, :2, :2], true[1, 3, 3] = 7.0, 5.0
    cells = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (1, 3, 3)]
    expected = sum(abs(float(size[c]) - float(true[c])) for c in cells) / 5
    assert float(size_loss(size, true)) == pytest.approx(expected)
    assert float(size_loss(size, torch.zeros_like(true))) == 0


def test_division_is_a_weighted_cross_entropy_within_cells():
    logits = draw(2, 2, 3, 3)
    division = torch.randint(0, 2, (2, 2, 3, 3))
    inside = torch.rand(2, 3, 3) > 0.4
    terms = []
    for b, c, y, x in np.ndindex(2, 2, 3, 3):
        if inside[b, y, x]:
            share = 1 / (1 + math.exp(-float(logits[b, c, y, x])))
            truth = int(division[b, c, y, x])
            terms.append(-math.log(share if truth else 1 - share) * (16 if truth else 1))
    assert float(division_loss(logits, division, inside)) == pytest.approx(np.mean(terms))
    assert float(division_loss(logits, division, torch.zeros_like(inside))) == 0


def test_triplet_takes_the_hardest_of_both():
    vectors = draw(9, 4)
    group = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 3])
    same = (group[:, None] == group) & ~torch.eye(9, dtype=torch.bool)
    other = group[:, None] != group
    other[0, 5] = other[5, 0] = False  # neither
    terms = []
    for i in range(9):
        distances = [math.dist(vectors[i].tolist(), one.tolist()) for one in vectors]
        positives = [distances[j] for j in range(9) if same[i, j]]
        negatives = [distances[j] for j in range(9) if other[i, j]]
        if positives:
            terms.append(max(max(positives) - min(negatives) + 0.3, 0))
    assert len(terms) == 8
    assert float(triplet_loss(vectors, same, other)) == pytest.approx(np.mean(terms))


def test_triplet_of_equal_or_lonely_vectors_has_a_gradient():
    vectors = torch.zeros(4, 3, requires_grad=True)
    same = torch.tensor([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], dtype=torch.bool)
    loss = triplet_loss(vectors, same, ~same)
    loss.backward()
    assert loss.item() == pytest.approx(0.3)
    assert bool(torch.isfinite(vectors.grad).all())
    none = torch.zeros(4, 4, dtype=torch.bool)
    assert triplet_loss(vectors, none, none).item() == 0


def test_scores_are_each_by_itself_and_missing_candidates_do_not_count():
    scores, right = draw(3, 4), torch.randint(0, 2, (3, 4)).double()
    there = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 1], [0, 0, 0, 1]], dtype=torch.bool)
    terms = []
    for i, k in np.ndindex(3, 4):
        if there[i, k]:
            share = 1 / (1 + math.exp(-float(scores[i, k])))
            terms.append(-math.log(share if right[i, k] else 1 - share))
    assert float(scores_loss(scores, there, right)) == pytest.approx(np.mean(terms))
