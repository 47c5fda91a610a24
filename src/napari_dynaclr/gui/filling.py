"""Combo boxes filled with what there is to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtpy.QtWidgets import QComboBox


def fill(box: QComboBox, titles: Mapping[str, str], current: str) -> None:
    """Offer names by their titles; who listens to the box hears nothing.

    Parameters
    ----------
    box
        The combo box; the names are its items' data.
    titles
        By name.
    current
        Name of the one that is chosen; the first there is, where it is not among them.
    """
    with QSignalBlocker(box):
        box.clear()
        for name, title in titles.items():
            box.addItem(title, name)
        box.setCurrentIndex(max(box.findData(current), 0))
