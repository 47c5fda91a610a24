from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from napari_dynaclr.embedding.training.losses import nt_xent, triplet  # noqa: E402


def vectors(count, seed):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, 6)))


@pytest.mark.parametrize("temperature", [0.3, 0.5])
def test_nt_xent_is_the_formula_written_out(temperature):
    a, p = vectors(5, 0), vectors(5, 1)
    z = torch.cat([a, p]).float().numpy()
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    alike = np.exp(z @ z.T / temperature)
    losses = []
    for i in range(10):
        others = sum(alike[i, k] for k in range(10) if k != i)
        losses.append(-np.log(alike[i, (i + 5) % 10] / others))
    assert nt_xent(a, p, temperature).item() == pytest.approx(np.mean(losses), rel=1e-5)


def test_relatives_are_not_told_apart():
    """Rows 0 and 1 are of one lineage: each is left out of the other's sum, but not its partner."""
    a, p = vectors(3, 0), vectors(3, 1)
    family = [7, 7, 9, 7, 7, 9]
    z = torch.cat([a, p]).float().numpy()
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    alike = np.exp(z @ z.T / 0.5)
    losses = []
    for i in range(6):
        partner = (i + 3) % 6
        others = sum(alike[i, k] for k in range(6) if family[k] != family[i] or k == partner)
        losses.append(-np.log(alike[i, partner] / others))
    found = nt_xent(a, p, 0.5, torch.tensor(family[:3])).item()
    assert found == pytest.approx(np.mean(losses), rel=1e-5)
    assert found < nt_xent(a, p, 0.5).item()


def test_nt_xent_falls_as_partners_come_together():
    a, p = vectors(8, 0), vectors(8, 1)
    assert nt_xent(a, a) < nt_xent(a, 0.5 * a + 0.5 * p) < nt_xent(a, p)


def test_nt_xent_survives_half_precision_and_gives_gradients():
    a = vectors(64, 0).half().requires_grad_()
    loss = nt_xent(a, vectors(64, 1).half(), 0.05)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(a.grad).all()


def test_triplet_is_the_formula_written_out():
    a, p, n = (vectors(5, seed) for seed in range(3))
    unit = [one.float().numpy() / np.linalg.norm(one.numpy(), axis=1, keepdims=True)
            for one in (a, p, n)]  # fmt: skip
    near = np.linalg.norm(unit[0] - unit[1], axis=1)
    far = np.linalg.norm(unit[0] - unit[2], axis=1)
    expected = np.maximum(near - far + 0.5, 0).mean()
    assert triplet(a, p, n).item() == pytest.approx(expected, abs=1e-4)


def test_triplet_is_nothing_where_the_negative_is_far_enough():
    a = torch.tensor([[1.0, 0.0]])
    assert triplet(a, a, -a).item() == 0
    assert triplet(a, -a, a).item() == pytest.approx(2.5, abs=1e-4)
