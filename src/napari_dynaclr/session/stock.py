"""Published weights that are on this computer already, and what it takes to get the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_dynaclr.core.weights import PRESETS, is_packaged, stored_at

if TYPE_CHECKING:
    from collections.abc import Mapping

_MEGABYTE = 1_000_000

# Numbers of parameters, as published; at four bytes each, that much at least is downloaded.
_PARAMETERS = {
    "VSCyto2D": 31.16e6,
    "VSCyto3D": 34.98e6,
    "VSCyto3D-UNeXt2": 32.04e6,
    "VSNeuromast": 40.04e6,
    "DynaCLR-DENV-VS+Ph": 28.4e6,
}


@dataclass(frozen=True)
class Stock:
    """Where published weights are.

    Attributes
    ----------
    here
        Whether they can be used without a connection.
    packaged
        Whether they have come with this package.
    megabytes
        Size of the file that is here; of one that is not, the least that it can have, 0
        where that is not known.
    """

    here: bool
    packaged: bool
    megabytes: int

    def describe(self) -> str:
        """Say it in a few words."""
        if self.packaged:
            return "comes with this plugin"
        if self.here:
            return f"downloaded ({self.megabytes} MB)"
        size = f" ({self.megabytes} MB or more)" if self.megabytes else ""
        return f"downloaded at the first use{size}"


def stock(use: str) -> dict[str, Stock]:
    """Look up which published weights are here; touches the disk.

    Parameters
    ----------
    use
        As of :class:`~napari_dynaclr.core.weights.Preset`.

    Returns
    -------
    dict
        By name.
    """
    found = {}
    for preset in PRESETS.values():
        if preset.use == use:
            file = stored_at(preset)
            size = file.stat().st_size if file.exists() else 4 * _PARAMETERS.get(preset.name, 0)
            megabytes = round(size / _MEGABYTE)
            found[preset.name] = Stock(file.exists(), is_packaged(preset), megabytes)
    return found


def describe(stocked: Mapping[str, Stock], chosen: str, found: str = "") -> str:
    """Say where the weights of a choice are, "" where that is no published weights.

    Parameters
    ----------
    stocked
        From :func:`stock`.
    chosen
        Name of published weights, "auto" for whichever fit, or something else.
    found
        Name of those that "auto" means, where that is known.
    """
    if chosen in stocked:
        return f"{chosen}: {stocked[chosen].describe()}."
    if chosen != "auto":
        return ""
    if found in stocked:
        return f"auto is {found} here: {stocked[found].describe()}."
    here = [name for name, one in stocked.items() if one.here and not one.packaged]
    if here:
        return f"Downloaded: {', '.join(here)}. Others are downloaded at their first use."
    return "Published weights are downloaded at their first use."
