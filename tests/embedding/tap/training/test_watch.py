from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from napari_dynaclr.embedding.tap.training.watch import kept_figures, no_better_than_chance


def test_the_epoch_that_is_kept_is_that_of_the_lowest_validation_loss():
    losses = [0.7, 0.6, 0.6, 0.65]
    figures = [{"epoch": i, "validation_loss": loss} for i, loss in enumerate(losses)]
    assert kept_figures(figures)["epoch"] == 2
    assert kept_figures([{"epoch": i} for i in range(3)])["epoch"] == 2


@pytest.mark.parametrize(
    ("figures", "learned"),
    [
        ({"accuracy": 0.52}, False),
        ({"accuracy": 0.58}, True),
        ({"accuracy": 0.52, "accuracy_division": 0.9}, True),
        ({"accuracy": 0.52, "accuracy_division": 0.55}, False),
        ({"accuracy": 0.4, "accuracy_background": 0.9}, False),
    ],
)
def test_a_network_that_has_learned_nothing_is_said_so(figures, learned):
    counts = {"anywhere": 256, "division": 100, "background": 128}
    said = no_better_than_chance(figures, counts)
    assert (said == "") is learned
    if said:
        assert f"accuracy {figures['accuracy']:.2f}" in said
        assert "guesses have 0.50 +- 0.03 on so many pairs" in said
        assert ("around divisions" in said) is ("accuracy_division" in figures)
