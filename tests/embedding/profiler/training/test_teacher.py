from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from napari_dynaclr.embedding.profiler.architecture import ProfilerConfig
from napari_dynaclr.embedding.profiler.training.heads import Head
from napari_dynaclr.embedding.profiler.training.masks import RATIOS, block_masks
from napari_dynaclr.embedding.profiler.training.teacher import (
    Pair,
    momentum_at,
    temperature_at,
)


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return Pair(ProfilerConfig("mini", 2, 32, 8), prototypes=16)


def test_the_teacher_begins_as_the_student_and_is_not_learned(pair):
    for mine, own in zip(pair.teacher.parameters(), pair.student.parameters(), strict=True):
        assert torch.equal(mine, own)
        assert mine.data_ptr() != own.data_ptr()
        assert own.requires_grad
        assert not mine.requires_grad


def test_the_teacher_follows_by_a_moving_average(pair):
    before = copy.deepcopy(pair.teacher.state_dict())
    with torch.no_grad():
        for one in pair.student.parameters():
            one.add_(torch.randn_like(one))
    pair.follow(0.9)
    after, student = pair.teacher.state_dict(), pair.student.state_dict()
    for name, old in before.items():
        torch.testing.assert_close(after[name], 0.9 * old + 0.1 * student[name])


def test_momentum_rises_along_a_cosine_and_the_temperature_first():
    assert momentum_at(0.992, 0.0) == pytest.approx(0.992)
    assert momentum_at(0.992, 0.5) == pytest.approx(0.996)
    assert momentum_at(0.992, 1.0) == 1.0
    assert [temperature_at(p, 0.07) for p in (0.0, 0.15, 0.3, 1.0)] == pytest.approx(
        [0.04, 0.055, 0.07, 0.07]
    )
    assert [temperature_at(p, 0.02) for p in (0.0, 1.0)] == [0.02, 0.02]


def test_scores_are_likenesses_to_prototypes_of_what_differs_between_images():
    torch.manual_seed(0)
    head = Head(6, 12, 4, prototypes=5)
    tokens = torch.randn(8, 6)
    vectors = head.layers(tokens)
    vectors = (vectors - vectors.mean(dim=0)) / vectors.std(dim=0, correction=0)
    vectors = torch.nn.functional.normalize(vectors, dim=1)
    prototypes = torch.nn.functional.normalize(head.prototypes, dim=1)
    torch.testing.assert_close(head(tokens), vectors @ prototypes.T, atol=2e-2, rtol=0)
    with torch.no_grad():
        head.prototypes.mul_(3)
    assert float(head(tokens).detach().abs().max()) <= 1.0001
    # Also where all images are nearly alike, as at the beginning.
    alike = tokens[:1] + 1e-2 * tokens
    assert head.eval()(alike).std(dim=0).mean() > 0.1


@pytest.mark.parametrize("grid", [4, 8, 16])
def test_half_of_the_images_are_masked_by_a_tenth_to_a_half(grid):
    masks = block_masks(40, grid, np.random.default_rng(0))
    share = masks.mean(axis=(1, 2))
    masked = share[share > 0]
    assert masks.shape == (40, grid, grid)
    assert len(masked) == 20
    slack = 1 / grid**2
    assert masked.min() >= RATIOS[0] - slack
    assert masked.max() <= RATIOS[1] + slack
    assert masked.mean() == pytest.approx(0.3, abs=0.03)


def test_masks_are_blocks_rather_than_scattered_and_the_same_for_a_seed():
    masks = block_masks(40, 16, np.random.default_rng(1))
    neighbours = (masks[:, 1:] & masks[:, :-1]).sum() / masks[:, 1:].sum()
    assert neighbours > 0.6  # of scattered tokens, 0.3
    assert np.array_equal(masks, block_masks(40, 16, np.random.default_rng(1)))


@pytest.mark.parametrize(("count", "grid"), [(1, 1), (2, 2), (3, 3)])
def test_something_is_masked_even_where_there_is_little(count, grid):
    masks = block_masks(count, grid, np.random.default_rng(0))
    assert masks.sum() > 0
