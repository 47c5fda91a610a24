from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_dynaclr.embedding.profiler.training.losses import (
    cross_entropy,
    dino,
    ibot,
    koleo,
    sinkhorn,
)


def entropy(scores, target, temperature=0.1):
    """Cross-entropy of one row, written out."""
    weights = [math.exp(score / temperature) for score in scores]
    return -sum(t * math.log(w / sum(weights)) for t, w in zip(target, weights, strict=True))


def test_dino_is_the_cross_entropy_by_hand():
    scores, target = [[0.2, -0.1, 0.05], [0.0, 0.3, -0.2]], [[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]
    by_hand = [entropy(s, t) for s, t in zip(scores, target, strict=True)]
    found = cross_entropy(torch.tensor(scores), torch.tensor(target))
    assert found.tolist() == pytest.approx(by_hand, rel=1e-5)
    loss = float(dino(torch.tensor(scores), torch.tensor(target)))
    assert loss == pytest.approx(sum(by_hand) / 2, rel=1e-5)


def test_ibot_weighs_images_alike_however_many_of_their_tokens_are_masked():
    masks = torch.zeros(3, 2, 2, dtype=torch.bool)
    masks[0, 0, 1] = masks[2, 0, 0] = masks[2, 1, 1] = True  # the second image has none
    scores = [[0.1, 0.3], [-0.2, 0.2], [0.4, 0.0]]
    targets = [[0.9, 0.1], [0.5, 0.5], [0.3, 0.7]]
    one, two, three = (entropy(s, t) for s, t in zip(scores, targets, strict=True))
    found = ibot(torch.tensor(scores), torch.tensor(targets), masks)
    assert float(found) == pytest.approx((one + 0 + (two + three) / 2) / 3, rel=1e-5)


def test_koleo_is_minus_the_mean_log_distance_to_the_nearest_by_hand():
    # Lengths do not count; the first and the second are nearest to each other.
    tokens = torch.tensor([[2.0, 0.0], [0.6, 0.8], [-3.0, 0.0]])
    near = math.sqrt(0.4**2 + 0.8**2)
    far = math.sqrt(1.6**2 + 0.8**2)
    by_hand = -(math.log(near) + math.log(near) + math.log(far)) / 3
    assert float(koleo(tokens)) == pytest.approx(by_hand, rel=1e-5)


def test_koleo_pushes_apart_what_is_the_same_to_a_rounding():
    tokens = torch.tensor([[1.0, 1e-3], [1.0, -1e-3], [0.0, 1.0]], requires_grad=True)
    loss = koleo(tokens)
    loss.backward()
    assert tokens.grad[0, 1] < 0 < tokens.grad[1, 1]  # gradient descent parts the two
    assert torch.isfinite(koleo(torch.ones(4, 3)))


def by_hand_sinkhorn(scores, temperature):
    """Knopp's algorithm in double precision, as DINOv2 writes it."""
    shares = np.exp(np.asarray(scores, float) / temperature).T
    shares /= shares.sum()
    prototypes, count = shares.shape
    for _ in range(3):
        shares /= shares.sum(axis=1, keepdims=True) * prototypes
        shares /= shares.sum(axis=0, keepdims=True) * count
    return (shares * count).T


def test_targets_are_sinkhorns_and_use_prototypes_alike():
    scores = torch.randn(64, 8, generator=torch.Generator().manual_seed(0)) * 0.1
    found = sinkhorn(scores, 0.05)
    np.testing.assert_allclose(found, by_hand_sinkhorn(scores, 0.05), rtol=1e-4)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(64))
    assert found.sum(dim=0) == pytest.approx(np.full(8, 64 / 8), rel=0.35)
    # All like the same prototype best: a softmax would give it all images.
    lopsided = scores + torch.tensor([1.0, *[0.0] * 7])
    assert torch.softmax(lopsided / 0.05, dim=1)[:, 0].mean() > 0.99
    assert sinkhorn(lopsided, 0.05)[:, 0].mean() < 0.2


@given(st.integers(0, 99), st.floats(0.01, 1.0))
def test_targets_are_probabilities_whatever_the_scores(seed, temperature):
    scores = torch.rand(7, 20, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    found = sinkhorn(scores, temperature)
    assert torch.isfinite(found).all()
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum(dim=1), torch.ones(7), atol=1e-4, rtol=0)
