from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from napari_dynaclr.core.figures import save_figure, zoom_on_most


def test_a_figure_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    figure = Figure(figsize=(2, 1))
    file = tmp_path / "new" / "a.png"
    assert save_figure(figure, file) == file
    with Image.open(file) as image:
        assert image.size == (300, 150)
    before = file.read_bytes()

    def fail(_self, path, **_):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        save_figure(figure, file)
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == ["a.png"]


def test_strays_lie_outside_of_a_map_and_are_counted():
    points = np.random.default_rng(0).uniform(-1, 1, (500, 2))
    points[:3] = [[40, 0], [0, -40], [40, 40]]
    axes = Figure().subplots()
    assert zoom_on_most(axes, points) == 3
    assert axes.get_xlim()[0] < -1 < 1 < axes.get_xlim()[1] < 3
    assert axes.get_ylim()[0] < -1 < 1 < axes.get_ylim()[1] < 3
