from __future__ import annotations

import pytest

from napari_dynaclr.tracking.cellect.training.stages import learns


def test_the_mlps_learn_in_the_epochs_of_the_paper():
    learning = [epoch for epoch in range(1, 150) if learns(epoch, 149)]
    assert learning == [*range(2, 8), *range(15, 21), *range(35, 41)]


@pytest.mark.parametrize("epochs", [1, 2, 10, 30, 60, 400])
def test_other_trainings_have_all_stages_at_the_same_parts(epochs):
    learning = [learns(epoch, epochs) for epoch in range(1, epochs + 1)]
    assert any(learning)
    assert not any(learning[int(epochs * 40 / 149) + 1 :])
    # What lasts 18 of 149 epochs; of a short training, parts of epochs count as whole ones.
    assert sum(learning) >= epochs * 18 / 149 - 1
