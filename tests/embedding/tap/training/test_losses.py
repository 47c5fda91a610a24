from __future__ import annotations

import math

import torch

from napari_dynaclr.embedding.tap.training.losses import decorrelation, order_loss


def test_order_is_softmax_and_cross_entropy():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    expected = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))) / 2
    assert math.isclose(float(order_loss(logits, torch.tensor([0, 0]))), expected, rel_tol=1e-6)


def test_decorrelation_is_equation_2():
    """Of two features: equal ones, and ones that do not correlate."""
    wave = torch.tensor([1.0, -1, 1, -1, 1, -1, 1, -1])
    other = torch.tensor([1.0, 1, -1, -1, 1, 1, -1, -1])

    def pair(one, two):  # (1, 2, 2, 2, 2): half of the pixels in each frame
        return torch.stack([one, two]).reshape(2, 2, 2, 2).transpose(0, 1)[None]

    # All correlations are 1: A is 1/2 everywhere, and its trace 1.
    assert abs(float(decorrelation(pair(wave, 3 * wave + 2), 0.2))) < 1e-6
    # 1 and 0: A_ii = e^5 / (e^5 + 1), twice.
    likeness = math.exp(5) / (math.exp(5) + 1)
    expected = -math.log(2 * likeness) / 2
    assert math.isclose(float(decorrelation(pair(wave, other), 0.2)), expected, rel_tol=1e-5)
    assert expected < 0


def test_decorrelation_pulls_features_apart_and_bears_constant_ones():
    torch.manual_seed(0)
    base = torch.randn(4, 2, 1, 6, 6)
    features = (base + 0.3 * torch.randn(4, 2, 5, 6, 6)).requires_grad_()
    optimizer = torch.optim.SGD([features], lr=20.0)
    before = decorrelation(features, 0.2)
    for _ in range(50):
        optimizer.zero_grad()
        decorrelation(features, 0.2).backward()
        optimizer.step()
    assert decorrelation(features, 0.2) < before - 0.05
    constant = torch.zeros(2, 2, 3, 4, 4, requires_grad=True)
    decorrelation(constant, 0.2).backward()
    assert torch.isfinite(constant.grad).all()
