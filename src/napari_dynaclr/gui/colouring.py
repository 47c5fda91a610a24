"""What cells are coloured by, remembered between sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

from napari_dynaclr.gui.settings import recall, remember
from napari_dynaclr.session.colours import ColourBy, Kind

if TYPE_CHECKING:
    from napari_dynaclr.gui.workbench import Workbench

_KEY = "colour by"

_recalled: WeakSet[Workbench] = WeakSet()
"""Whose colours are the user's already: another viewer's choice must not change them."""


def choose_colour(bench: Workbench, colour_by: ColourBy) -> None:
    """Colour the cells in all views as the user wants it, next time too."""
    _recalled.add(bench)
    remember(_KEY, [colour_by.kind.value, colour_by.name])
    bench.colour(colour_by)


def recall_colour(bench: Workbench) -> None:
    """Colour the cells as the user did last; once for every viewer."""
    if bench in _recalled:
        return
    _recalled.add(bench)
    try:
        kind, name = recall(_KEY, ())
        last = ColourBy(Kind(kind), str(name))
    except (TypeError, ValueError):  # nothing is remembered, or by another version
        return
    bench.colour(last)
