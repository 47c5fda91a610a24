from __future__ import annotations

import pytest
from plain import plain_bench, rest, show, shut
from qtpy.QtWidgets import QWidget

from napari_dynaclr.gui.map.hover import HoverCard


@pytest.fixture
def bench(processed, qtbot):
    made = plain_bench()
    yield show(made, qtbot, processed.root, "B/1/0", processed.workspace.path)
    shut(made, qtbot)


@pytest.fixture
def card(bench, qtbot):
    parent = QWidget()
    qtbot.addWidget(parent)
    parent.show()
    yield HoverCard(bench, parent)
    parent.close()


def picture(card):
    return card.picture.pixmap().toImage()


def test_it_shows_what_a_cell_looks_like_and_what_is_known_of_it(card, bench, qtbot):
    session = bench.session
    row = int(session.here()[0])
    session.annotate([row], "infected")
    rest(bench, qtbot)
    assert not card.isVisible()
    card.show_cell(row)
    qtbot.waitUntil(card.isVisible, timeout=10_000)
    lines = card.text.text().split("\n")
    track, t = session.cells.track[row], session.frame
    assert lines[:3] == [f"track {track}", f"t={t}", "infection: infected"]
    assert lines[3].startswith("link ")
    assert lines[4].startswith("predicted ")
    image = picture(card)
    shades = {image.pixel(x, y) for x in range(image.width()) for y in range(image.height())}
    assert len(shades) > 20


def test_another_cell_has_another_picture(card, bench, qtbot):
    cells = bench.session.cells
    card.show_cell(0)
    qtbot.waitUntil(card.isVisible, timeout=10_000)
    first = picture(card)
    card.show_cell(len(cells) - 1)
    qtbot.waitUntil(lambda: not card.picture.pixmap().isNull(), timeout=10_000)
    assert picture(card) != first
    assert f"track {cells.track[-1]}\n" in card.text.text()


def test_a_new_text_never_has_the_picture_of_the_cell_before(card, bench, qtbot):
    card.show_cell(0)
    qtbot.waitUntil(card.isVisible, timeout=10_000)
    card.show_cell(len(bench.session.cells) - 1)
    assert card.picture.pixmap().isNull()
    qtbot.waitUntil(lambda: not card.picture.pixmap().isNull(), timeout=10_000)


def test_put_away_it_does_not_come_back_with_a_late_picture(card, bench, qtbot):
    card.show_cell(0)
    card.put_away()
    rest(bench, qtbot)
    qtbot.wait(20)
    assert not card.isVisible()


@pytest.mark.parametrize("row", [-1, 10**6])
def test_there_is_no_card_of_a_cell_that_is_not_there(card, bench, qtbot, row):
    card.show_cell(row)
    rest(bench, qtbot)
    assert not card.isVisible()
