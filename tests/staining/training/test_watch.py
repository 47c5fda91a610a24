from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from napari_dynaclr.staining.training.watch import (  # noqa: E402
    Correlation,
    masked_pictures,
    stained_pictures,
)


def test_the_correlation_is_pearson_s_over_all_batches():
    rng = np.random.default_rng(0)
    target = rng.normal(size=(5, 2, 3, 8, 8)) + 1000
    prediction = 0.5 * target + rng.normal(size=target.shape)
    measured = Correlation(2)
    for part in (slice(0, 4), slice(4, 5)):
        measured.add(torch.from_numpy(prediction[part]), torch.from_numpy(target[part]))
    expected = [np.corrcoef(prediction[:, i].ravel(), target[:, i].ravel())[0, 1] for i in range(2)]
    np.testing.assert_allclose(measured.value(), expected, atol=1e-9)


def test_a_stain_of_one_value_does_not_correlate():
    measured = Correlation(1)
    measured.add(torch.full((2, 1, 1, 8, 8), 3.7), torch.rand(2, 1, 1, 8, 8))
    assert measured.value() == [0.0]


def test_a_prediction_is_shown_in_the_contrast_of_its_target():
    patch = torch.rand(2, 3, 8, 8)
    shown = stained_pictures(("Phase", "DAPI"), patch, patch[1:])
    assert list(shown) == ["Phase", "DAPI", "dapi_prediction"]
    assert np.array_equal(shown["DAPI"], shown["dapi_prediction"])
    weak = stained_pictures(("Phase", "DAPI"), patch, patch[1:] * 0.1)["dapi_prediction"]
    assert weak.mean() < 0.3 * shown["DAPI"].mean()


def test_what_is_filled_in_is_shown_where_it_was_hidden():
    patch = torch.linspace(1, 2, 64).reshape(1, 8, 8)
    hidden = torch.zeros(8, 8, dtype=torch.bool)
    hidden[:4] = True
    whole, seen, filled = masked_pictures(
        "Phase", patch, hidden, torch.full_like(patch, 2)
    ).values()
    assert (seen[:4] == 0).all()
    assert np.array_equal(seen[4:], whole[4:])
    assert (filled[:4] == 1).all()
    assert np.array_equal(filled[4:], whole[4:])
