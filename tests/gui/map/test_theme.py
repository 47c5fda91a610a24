from __future__ import annotations

import gc

import pytest
from plain import PlainViewer
from qtpy.QtWidgets import QApplication, QWidget

from napari_dynaclr.gui.map.theme import follow_theme, theme_colours


class Cloud(QWidget):
    """Takes a theme as the map does."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def set_theme(self, background, text):
        self.size()  # raises where Qt has taken it away, as the map would
        self.seen.append((background, text))


def lightness(colour):
    return sum(int(colour[i : i + 2], 16) for i in (1, 3, 5)) / 765


@pytest.fixture
def viewer():
    return PlainViewer()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_stands_out_from_the_ground_in_every_theme(viewer, theme):
    viewer.theme = theme
    background, text = theme_colours(viewer)
    assert all(len(one) == 7 and one.startswith("#") for one in (background, text))
    assert abs(lightness(background) - lightness(text)) > 0.5


def test_it_follows_the_viewer(viewer, qtbot):
    viewer.theme = "dark"
    cloud = Cloud()
    qtbot.addWidget(cloud)
    follow_theme(viewer, cloud)
    assert cloud.seen == [theme_colours(viewer)]
    viewer.theme = "light"
    assert cloud.seen[1:] == [theme_colours(viewer)]
    assert lightness(cloud.seen[1][0]) > lightness(cloud.seen[0][0])


@pytest.mark.parametrize("who", ["python", "qt"])
def test_what_is_gone_is_followed_no_longer(viewer, who):
    viewer.theme = "dark"
    cloud = Cloud()
    before = len(viewer.events.theme.callbacks)
    follow_theme(viewer, cloud)
    assert len(viewer.events.theme.callbacks) == before + 1
    if who == "python":
        del cloud
        gc.collect()
    else:
        cloud.deleteLater()
        QApplication.sendPostedEvents(None, 52)  # DeferredDelete
    viewer.theme = "light"
    assert len(viewer.events.theme.callbacks) == before
