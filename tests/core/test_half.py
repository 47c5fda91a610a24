from __future__ import annotations

import numpy as np

from napari_dynaclr.core.half import halved


def test_numbers_beyond_half_precision_stay_finite():
    found = halved(np.array([-1e9, -2.5, 0, 3.25, 1e9], np.float32))
    assert found.dtype == np.float16
    assert found.tolist() == [-65504, -2.5, 0, 3.25, 65504]
