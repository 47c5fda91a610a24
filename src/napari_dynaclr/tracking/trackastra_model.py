"""The only file that knows Trackastra's package: its models, its features, its solver.

Its own loader of models reads YAML that may name Python objects and prints as it goes; here
the same files are read with what can do no harm, into the same network.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dynaclr.core.errors import InvalidInput, MissingExtra
from napari_dynaclr.core.multiscale import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job

_FILES = ("model.pt", "config.yaml", "train_config.yaml")
_POSSIBLE = 0.05
"""Score below which a link is no candidate, as Trackastra has it."""


@contextmanager
def _trackastra() -> Iterator[None]:
    """Import from Trackastra, undoing what that does to the logging and warnings of everyone.

    Raises
    ------
    MissingExtra
        If it is not installed.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "trackastra", "trackastra") from None
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for name in ("trackastra", "trackastra.model.predict", "motile"):
            logging.getLogger(name).setLevel(logging.ERROR)


def model_folder(name: str, folder: str, job: Job) -> Path:
    """Return the folder of a model; of a published one, after downloading it if need be.

    Parameters
    ----------
    name
        Of a published model.
    folder
        A folder of one's own; empty for a published model.
    job
        Progress and cancelling of the download.

    Raises
    ------
    MissingExtra
        If Trackastra is not installed.
    InvalidInput
        If there is no model there, or it cannot be downloaded.
    """
    if folder:
        place = Path(folder).expanduser()
    else:
        with _trackastra():
            from platformdirs import user_data_dir
            from trackastra.model import pretrained
        # Where its own loader keeps them, so that nothing is fetched twice.
        place = Path(user_data_dir("trackastra")) / "models" / name
        if not place.exists():
            _download(pretrained, name, place, job)
    missing = [file for file in _FILES if not (place / file).is_file()]
    if missing:
        advice = "give that of a model" if folder else "delete it, to have it downloaded again"
        raise InvalidInput(
            f"{place} is no folder of a Trackastra model: it lacks {' and '.join(missing)}; "
            f"{advice}."
        )
    return place


def _download(pretrained: Any, name: str, place: Path, job: Job) -> None:
    """Download through Trackastra's own loader, with its progress as ours.

    It comes to its place whole or not at all, as the loader takes any folder for a model.
    """
    import requests

    class Bar:
        """What its loader tells of its progress."""

        def __init__(self, *_args: object, **about: Any) -> None:
            self._done, self._total = 0, int(about.get("total") or 0)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_error: object) -> None:
            """Nothing to close."""

        def update(self, size: int) -> None:
            self._done += size
            job.report(f"download Trackastra's {name}", self._done, self._total)

    url = pretrained._MODELS[name]  # noqa: SLF001 # to be named where it cannot be reached
    original, pretrained.tqdm = pretrained.tqdm, Bar
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=place.parent) as unfinished:
            whole = pretrained.download_pretrained(name, Path(unfinished))
            try:
                Path(whole).rename(place)
            except OSError:
                if not place.exists():  # else another process was first
                    raise
    except (requests.RequestException, zipfile.BadZipFile) as error:
        reason = (
            "cannot be reached" if isinstance(error, requests.RequestException) else "sent none"
        )
        raise InvalidInput(
            f"Trackastra's model {name} cannot be downloaded: {url.split('/')[2]} {reason}. Get "
            f"{url} on a machine that is online, unzip it, and give the folder with folder=."
        ) from None
    finally:
        pretrained.tqdm = original


@dataclass(frozen=True)
class Features:
    """What the network is told of the cells of one time point.

    Attributes
    ----------
    t
        Time point.
    nodes
        Row of each cell in the table of nodes.
    coords
        Centroids in pixels, (N, 2) or (N, 3).
    values
        Shape and intensity, (N, F).
    """

    t: int
    nodes: NDArray[np.int64]
    coords: NDArray[np.float32]
    values: NDArray[np.float32]


class TrackastraModel:
    """A trained network.

    Parameters
    ----------
    folder
        With ``model.pt``, ``config.yaml`` and ``train_config.yaml``.
    device
        Of torch.

    Raises
    ------
    MissingExtra
        If Trackastra is not installed.
    InvalidInput
        If the files cannot be read without unpickling, or do not belong together.
    """

    def __init__(self, folder: Path, device: str) -> None:
        with _trackastra():
            from trackastra.model import TrackingTransformer
        self.config = _yaml(folder / "config.yaml")
        kind = _yaml(folder / "train_config.yaml").get("features", "wrfeat")
        if kind not in ("wrfeat", "none") or "pretrained_feat_dim" in self.config:
            raise InvalidInput(
                f"{folder}: this model needs features of another network ({kind}), which is not "
                "offered here: choose a model of shape and intensity features (wrfeat)."
            )
        try:
            network = TrackingTransformer(**self.config)
            self.window, self.dimensions = int(self.config["window"]), self.config["coord_dim"]
            self._features = int(self.config["feat_dim"])
        except (TypeError, KeyError, ValueError, AssertionError) as error:
            raise InvalidInput(
                f"{folder / 'config.yaml'} describes no Trackastra model: {first_line(error)}."
            ) from None
        known = 7 if self.dimensions == 2 else 12
        if self._features not in (0, known):
            raise InvalidInput(
                f"{folder}: this model takes {self._features} features of a cell, and there are "
                f"{known}: choose another model."
            )
        _load(network, folder / "model.pt")
        self._network = network.to(device).eval()

    def check_depth(self, slices: int, fov_name: str) -> None:
        """Refuse stacks for a model of single slices.

        Raises
        ------
        InvalidInput
            If the FOV has several slices and the model knows two dimensions.
        """
        if self.dimensions == 2 and slices > 1:
            raise InvalidInput(
                f"FOV {fov_name} has {slices} slices, and this model links cells in single slices: "
                "choose a model of three dimensions, such as ctc."
            )

    def features(
        self,
        t: int,
        labels: NDArray[Any],
        image: NDArray[Any],
        numbers: NDArray[np.int64],
        first: int,
    ) -> Features:
        """Measure the cells of one time point.

        Parameters
        ----------
        t
            Time point.
        labels, image
            (Z, Y, X).
        numbers
            The labels that are there, ascending.
        first
            Row of the first one in the table of nodes; the others follow.
        """
        from trackastra.data import WRFeatures
        from trackastra.utils import normalize

        count = len(numbers)
        if not count:
            none = np.zeros((0, self.dimensions), np.float32)
            return Features(t, np.zeros(0, np.int64), none, np.zeros((0, self._features), "f4"))
        # From 1 on: its tables are as long as the largest label.
        mask = np.where(labels > 0, np.searchsorted(numbers, labels) + 1, 0).astype(np.int32)
        if self.dimensions == 2:
            mask, image = mask[0], image[0]
        with warnings.catch_warnings(action="ignore"):  # of cells of a single pixel
            found = WRFeatures.from_mask_img(
                mask[None], normalize(np.asarray(image, np.float32))[None], t_start=t
            )
        values = np.nan_to_num(found.features_stacked).astype(np.float32)
        return Features(t, first + np.arange(count), found.coords, values)

    def scores(self, window: list[Features]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Score the links between neighbouring frames of one window.

        Parameters
        ----------
        window
            Consecutive time points, as many as :attr:`window` at most.

        Returns
        -------
        tuple
            Rows of nodes (before, after), (L, 2), and scores, 0.05 to 1, (L,).
        """
        import torch
        from trackastra.model.predict import predict

        nodes = np.concatenate([frame.nodes for frame in window])
        if not len(nodes):
            return np.zeros((0, 2), np.int64), np.zeros(0)
        times = np.concatenate([np.full(len(f.nodes), f.t) for f in window])
        batch = {
            "coords": torch.from_numpy(np.concatenate([f.coords for f in window])),
            "timepoints": torch.from_numpy(times),
            "features": torch.from_numpy(np.concatenate([f.values for f in window]))
            if self._features
            else None,
        }
        scores = predict([batch], self._network)[0][: len(nodes), : len(nodes)]
        scores = np.where(times[None, :] - times[:, None] == 1, scores, 0)
        before, after = np.nonzero(scores >= _POSSIBLE)
        links = np.column_stack([nodes[before], nodes[after]])
        return links, scores[before, after].astype(np.float64)


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {first_line(error)}.") from None
    if not isinstance(found, dict):
        raise InvalidInput(f"{path} holds no settings: check the folder of the model.")
    return found


def _load(network: Any, path: Path) -> None:
    """Load weights without unpickling anything else."""
    import pickle

    import torch

    try:
        with warnings.catch_warnings(action="ignore"):  # that it might not be read; see below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, KeyError):
        raise InvalidInput(
            f"{path} holds no plain weights: it is damaged, or would run code when loaded, which "
            "is refused. Get the model again from where it came; a published one is downloaded "
            "anew once its folder is deleted."
        ) from None
    if isinstance(state, dict) and "state_dict" in state:  # of Lightning
        held = state["state_dict"].items()
        state = {k.removeprefix("model."): v for k, v in held if k.startswith("model.")}
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError):
        raise InvalidInput(
            f"{path} holds the weights of another network than config.yaml beside it describes: "
            "give the files of one model."
        ) from None


def solve(
    times: NDArray[Any], links: NDArray[np.int64], scores: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Choose the links that are best together, with Trackastra's integer program.

    Parameters
    ----------
    times
        Time point of each node, (N,).
    links
        Rows of nodes (before, after), (L, 2).
    scores
        (L,).

    Returns
    -------
    numpy.ndarray
        Rows of ``links`` that were chosen.

    Raises
    ------
    MissingExtra
        If motile or its solver is not installed.
    """
    with _trackastra():
        import motile
        import networkx as nx
        from trackastra.tracking.ilp import solution_to_graph, solve_full_ilp
    if not len(links):
        return np.zeros(0, np.int64)
    graph = nx.DiGraph()
    graph.add_nodes_from((i, {"time": int(t), "weight": 1.0}) for i, t in enumerate(times))
    graph.add_edges_from(
        (int(a), int(b), {"weight": float(score)})
        for (a, b), score in zip(links, scores, strict=True)
    )
    candidates = motile.TrackGraph(graph, frame_attribute="time")
    solver, _ = solve_full_ilp(candidates, True, "gt", None)
    chosen = set(solution_to_graph(solver, candidates).edges)
    return np.flatnonzero([(int(a), int(b)) in chosen for a, b in links])
