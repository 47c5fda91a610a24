"""Maps of profiles: principal components always, others where there are enough rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.core.registry import find_method
from napari_dynaclr.core.shards import standardized

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job

FEWEST = 30
"""Profiles below which a map of neighbourhoods is not worth looking at.

PHATE draws 12 to 24 profiles of noise as a line: principal components tell the truth then.
"""
_NEIGHBOURS = {"phate": ("knn", 32, 5), "umap": ("neighbors", 6, 15)}
"""By map: name of the setting, profiles to each neighbour, and neighbours at most.

With as many as UMAP has, PHATE draws even 100 profiles of several conditions as a line.
"""


def maps(vectors: NDArray[np.float32], kind: str, job: Job) -> dict[str, NDArray[np.float32]]:
    """Map profiles, as ``obsm`` has them.

    Dimensions are standardised first, as those of cells are. There are fewer profiles than
    cells, so that fewer neighbours shape the map.

    Parameters
    ----------
    vectors
        (N, D).
    kind
        "phate", "umap" or "none": what there is besides ``X_pca``.
    job
        Progress and cancelling.

    Returns
    -------
    dict
        ``X_pca``: (N, 2 or more); ``X_phate`` or ``X_umap``: (N, 2), from :data:`FEWEST`
        profiles on.

    Raises
    ------
    MissingExtra
        If the library that makes the map is not installed.
    """
    matrix = standardized([vectors])
    if not matrix.any():  # one profile, or nothing but the same
        return {"X_pca": np.zeros((len(matrix), 2), np.float32)}
    found = {"X_pca": _components(matrix, job)}
    if kind != "none" and len(matrix) >= FEWEST:
        method = find_method("project", kind)
        setting, share, most = _NEIGHBOURS[kind]
        settings = {setting: int(np.clip(len(matrix) // share, 3, most))}
        params = method.params_class().parse(settings)
        found[f"X_{kind}"] = method.load().fit(matrix, params, job)
    return found


def _components(matrix: NDArray[np.float32], job: Job) -> NDArray[np.float32]:
    method = find_method("project", "pca")
    made: NDArray[np.float32] = method.load().fit(matrix, method.params_class().parse({}), job)
    lacking = max(0, 2 - made.shape[1])
    return np.pad(made, ((0, 0), (0, lacking)))
