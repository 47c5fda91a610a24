"""The parts of CELLECT's loss, from what the network says of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from napari_dynaclr.tracking.cellect.candidates import PairFeatures, nearest, pair_features
from napari_dynaclr.tracking.cellect.training.detections import (
    Detections,
    matched,
    near_centres,
    true_centres,
)
from napari_dynaclr.tracking.cellect.training.losses import (
    centre_loss,
    division_loss,
    scores_loss,
    size_loss,
    triplet_loss,
)
from napari_dynaclr.tracking.cellect.training.samples import IGNORED
from napari_dynaclr.tracking.cellect.training.targets import nearest_voxel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_dynaclr.tracking.cellect.model import Cellect
    from napari_dynaclr.tracking.cellect.network import Maps
    from napari_dynaclr.tracking.cellect.training.samples import Batch, Seen

_VOXELS = 4
"""Voxels of a cell whose embeddings are compared, beside that of its centre."""

_MANY = 2
"""Found cells, relative to the true ones, above which they are no use to learn from yet."""

_LEAST = 2
"""Cells that can be normalised together."""


class Links(NamedTuple):
    """What the interframe MLP says of cells, and what is right.

    Attributes
    ----------
    scores
        Logits of candidates and none, (N, k + 1).
    division
        Logits, (N, 2).
    right
        Which of the candidates, and none, are right, (N, k + 1).
    there
        Which of them there are, (N, k + 1).
    dividing
        Whether each cell divides, (N,).
    """

    scores: Tensor
    division: Tensor
    right: Tensor
    there: Tensor
    dividing: Tensor


def pairs_of(images: Tensor) -> Tensor:
    """Return both pairs of frames, (B, 3, ...) to (2 B, 2, ...), the first pairs first."""
    return torch.cat([images[:, :2], images[:, 1:]]).float()


@dataclass(frozen=True)
class Losses:
    """Computes the parts of the loss.

    Attributes
    ----------
    model
        What is trained.
    spacing
        Of voxels (z, y, x), for distances between cells.
    """

    model: Cellect
    spacing: tuple[float, float, float]

    def of_maps(self, maps: Maps, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of all maps but the embedding."""
        segmentation, levels, size = (
            _both(one) for one in (batch.segmentation, batch.levels, batch.size)
        )
        division = _both(batch.division)
        return {
            "segmentation": functional.cross_entropy(
                maps.segmentation.float(), segmentation.long(), ignore_index=IGNORED
            ),
            "centres": centre_loss(maps.levels.float(), levels),
            "size": size_loss(maps.size[:, 0].float(), size),
            "division": division_loss(maps.division.float(), division, size > 0),
        }

    def of_embedding(self, maps: Maps, batch: Batch, rng: np.random.Generator) -> Tensor:
        """Return the triplet loss, over the voxels of cells in both frames of each sample."""
        each = []
        for number, sample in enumerate(batch.samples):
            first, second = (
                _voxels(one, sample.images.shape[1:], rng) for one in (sample.first, sample.second)
            )
            items = np.concatenate(
                [
                    np.full(len(first.cell), number),
                    np.full(len(second.cell), number + len(batch.samples)),
                ]
            )
            places = np.concatenate([first.voxels, second.voxels])
            if not len(places):
                continue
            z, y, x = torch.as_tensor(places, device=maps.size.device).unbind(1)
            index = (torch.as_tensor(items, device=maps.size.device), y, x, z)
            vectors = self.model.net.embed_at(maps.embedding, index).float()
            same, other = _relations(first.cell, second.cell, sample.origin)
            each.append(
                triplet_loss(
                    vectors,
                    torch.as_tensor(same, device=vectors.device),
                    torch.as_tensor(other, device=vectors.device),
                )
            )
        return torch.stack(each).mean() if each else maps.embedding.sum() * 0

    def detections(
        self,
        batch: Batch,
        rng: np.random.Generator,
        found: Sequence[NDArray[np.int64]] | None,
    ) -> list[Detections]:
        """Return the cells of all frames, those of the first frames first.

        Parameters
        ----------
        batch
            Samples.
        rng
            For places near the true centres.
        found
            What the network finds, voxels (z, y, x) of each frame. Where that is of no use yet,
            or is not given, places near the true centres stand in.
        """
        seen = [one.first for one in batch.samples] + [one.second for one in batch.samples]
        shape = batch.samples[0].images.shape[1:]
        near = [near_centres(one, shape, rng) for one in seen]
        if found is None:
            return near
        kept = []
        for one, cells, voxels in zip(seen, near, found, strict=True):
            known = max(int(one.inside.sum()), 1)
            of_use = known / _MANY <= len(voxels) <= known * _MANY
            kept.append(matched(voxels, one) if of_use else cells)
        return kept

    def of_merging(self, maps: Maps, cells: Sequence[Detections]) -> Tensor:
        """Return the loss of the intraframe MLP: which cells of a frame are one."""
        features, right = [], []
        for item, one in enumerate(cells):
            if len(one.cell) < _LEAST:
                continue
            here = self.model.cells_at(maps, item, one.voxels, self.spacing, embedded=False)
            near = nearest(here.position, here.position, self.model.config.candidates, same=True)
            features.append(pair_features(here, here, near))
            same = (one.cell[near.rows] == one.cell[:, None]) & (one.cell >= 0)[:, None]
            right.append(_with_none(same & near.there))
        if not features:
            return maps.embedding.sum() * 0
        joined = _joined(features)
        scores = self.model.intra(joined)
        return scores_loss(scores, _there(joined), _tensor(right, scores))

    def links(self, maps: Maps, batch: Batch, cells: Sequence[Detections]) -> Links | None:
        """Compare cells with those of the next frame; None if there are too few.

        Parameters
        ----------
        maps
            Of the network, from :meth:`~napari_dynaclr.tracking.cellect.network.CellectNet.see`.
        batch
            Samples.
        cells
            Of all frames, those of the first frames first; each but once.
        """
        features, right, dividing = [], [], []
        count = len(batch.samples)
        for item, sample in enumerate(batch.samples):
            first, second = cells[item], cells[item + count]
            if not len(first.cell) or not len(second.cell):
                continue
            here = self.model.cells_at(maps, item, first.voxels, self.spacing, embedded=False)
            there = self.model.cells_at(
                maps, item + count, second.voxels, self.spacing, embedded=False
            )
            near = nearest(here.position, there.position, self.model.config.candidates)
            features.append(pair_features(here, there, near))
            origin = np.append(sample.origin, -1)[second.cell]
            same = (origin[near.rows] == first.cell[:, None]) & (first.cell >= 0)[:, None]
            right.append(_with_none(same & near.there))
            dividing.append(np.append(sample.first.dividing, False)[first.cell])
        if sum(map(len, dividing)) < _LEAST:
            return None
        joined = _joined(features)
        scores = self.model.inter(joined)
        return Links(
            scores.link,
            scores.division,
            _tensor(right, scores.link),
            _there(joined),
            torch.as_tensor(np.concatenate(dividing), device=scores.link.device),
        )

    def of_linking(self, links: Links | None, maps: Maps) -> Tensor:
        """Return the losses of the interframe MLP, of links and of divisions, summed."""
        if links is None:
            return maps.embedding.sum() * 0
        divided = functional.cross_entropy(links.division, links.dividing.long())
        return scores_loss(links.scores, links.there, links.right) + divided


def right_links(links: Links) -> Tensor:
    """Whether the best of candidates and none is right, of each cell, (N,)."""
    best = links.scores.argmax(1, keepdim=True)
    return links.right.gather(1, best)[:, 0] > 0


def _both(maps: Tensor) -> Tensor:
    """Bring targets (B, 2, ...) into the order of :func:`pairs_of`, (2 B, ...)."""
    return torch.cat([maps[:, 0], maps[:, 1]])


def _voxels(seen: Seen, shape: tuple[int, ...], rng: np.random.Generator) -> Detections:
    """Return the centres of cells, and some voxels within their radii, (z, y, x)."""
    centres = true_centres(seen)
    cell = np.repeat(centres.cell, _VOXELS)
    axes = 3 if shape[2] > 1 else 2  # in one slice, nothing of a ball but a disc would be inside
    step = np.zeros((len(cell), 3))
    step[:, :axes] = rng.normal(size=(len(cell), axes))
    step /= np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-12)
    step *= rng.random((len(cell), 1)) ** (1 / axes) * seen.radius[cell]
    places = nearest_voxel(seen.position[cell] + step)
    inside = ((places >= 0) & (places < shape)).all(1)
    places = places[inside][:, [2, 0, 1]].astype(np.int64)
    return Detections(
        np.concatenate([centres.voxels, places]), np.concatenate([centres.cell, cell[inside]])
    )


def _relations(
    first: NDArray[np.int64], second: NDArray[np.int64], origin: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which vectors are of the same cell, and which of another one, (N, N) each.

    A mother and both of her daughters are the same. Sisters are neither the same, as they are
    two cells of one frame, nor others, as both are what their mother was.
    """
    count = 1 + int(max(first.max(initial=-1), origin.max(initial=-1)))
    frame = np.repeat([0, 1], [len(first), len(second)])
    came = origin[second]
    # What does not come from a cell of the first frame is an identity of its own.
    root = np.concatenate([first, np.where(came >= 0, came, count + second)])
    node = np.concatenate([first, second])
    family = root[:, None] == root
    one = (node[:, None] == node) & (frame[:, None] == frame)
    same = one | (family & (frame[:, None] != frame))
    return same & ~np.eye(len(root), dtype=bool), ~family


def _with_none(right: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.concatenate([right, ~right.any(1, keepdims=True)], axis=1)


def _joined(features: Sequence[PairFeatures]) -> PairFeatures:
    return PairFeatures(*(torch.cat(parts) for parts in zip(*features, strict=True)))


def _there(features: PairFeatures) -> Tensor:
    return torch.cat([features.there, torch.ones_like(features.there[:, :1])], 1)


def _tensor(parts: Sequence[NDArray[np.bool_]], like: Tensor) -> Tensor:
    return torch.as_tensor(np.concatenate(parts), device=like.device, dtype=like.dtype)
