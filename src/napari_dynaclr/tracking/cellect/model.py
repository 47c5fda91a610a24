"""CELLECT as one module: the network and both MLPs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_dynaclr.tracking.cellect.candidates import Cells, in_pixels
from napari_dynaclr.tracking.cellect.heads import InterFrame, IntraFrame
from napari_dynaclr.tracking.cellect.network import CellectNet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_dynaclr.tracking.cellect.architecture import CellectConfig
    from napari_dynaclr.tracking.cellect.network import Maps


class Cellect(nn.Module):
    """All that CELLECT learns.

    Parameters
    ----------
    config
        Its shape.
    """

    def __init__(self, config: CellectConfig) -> None:
        super().__init__()
        self.config = config
        self.net = CellectNet(config)
        self.intra = IntraFrame(config)
        self.inter = InterFrame(config)

    def cells_at(
        self,
        maps: Maps,
        item: int,
        voxels: NDArray[np.integer],
        spacing: tuple[float, float, float],
        *,
        embedded: bool = True,
    ) -> Cells:
        """Read the cells of a frame off the maps.

        Parameters
        ----------
        maps
            Of the network.
        item
            Which of the batch.
        voxels
            Centres (z, y, x), (N, 3).
        spacing
            See :func:`~napari_dynaclr.tracking.cellect.candidates.in_pixels`.
        embedded
            False if the maps are those of
            :meth:`~napari_dynaclr.tracking.cellect.network.CellectNet.see`.
        """
        device = maps.size.device
        z, y, x = torch.as_tensor(voxels, device=device, dtype=torch.long).reshape(-1, 3).unbind(1)
        index = (torch.full_like(z, item), y, x, z)
        if embedded:
            embedding = maps.embedding[item, :, y, x, z].T
        else:
            embedding = self.net.embed_at(maps.embedding, index)
        division = torch.sigmoid(maps.division[item, :, y, x, z].T)
        size = maps.size[item, 0, y, x, z]
        return Cells(in_pixels(voxels, spacing), embedding.float(), size.float(), division.float())
