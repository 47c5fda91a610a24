"""Events: places and moments of whole movies at which something is likely to have happened."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.plate_writer import FovWriter
from napari_dynaclr.core.registry import resolve
from napari_dynaclr.core.runs import (
    claimed,
    pending,
    recorded,
    result_key,
    source_key,
    stain_inputs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.params import Params
    from napari_dynaclr.core.registry import Method
    from napari_dynaclr.embedding.events.picking import PickingParams

ATTRIBUTION, FEATURES = "attribution", "features"


class Finder(Protocol):
    """A method at work: what its module's ``open_finder`` gives for a run.

    What is not a function is asked for when it is needed: a network that has nothing to do is not
    loaded for it.
    """

    weights: tuple[str, ...]
    """Hashes of the weights that the result depends on."""

    def channel(self, fov: Fov) -> str:
        """Return the channel that it sees of a FOV."""

    def step(self, fov: Fov) -> int:
        """Return how many frames the later of a pair of frames is after the earlier.

        Raises
        ------
        InvalidInput
            If the movie is too short for a pair.
        """

    @property
    def features(self) -> int:
        """Length of the representation of a pixel."""

    @property
    def projects(self) -> bool:
        """Whether a stack becomes one slice."""

    def represent(self, frame: NDArray[Any], job: Job) -> Iterator[NDArray[np.float32]]:
        """Represent every pixel of a frame as it is on disk, (Z, Y, X).

        Yields
        ------
        numpy.ndarray
            Of each slice in order, or of the projection, (F, Y, X).
        """

    def attribute(
        self, first: NDArray[np.floating], second: NDArray[np.floating], job: Job
    ) -> NDArray[np.float32]:
        """Map how much each place of a slice tells which of two frames was earlier.

        Parameters
        ----------
        first, second
            The slice in both frames, as :meth:`represent` gives it, perhaps on disk.
        job
            For cancelling.

        Returns
        -------
        numpy.ndarray
            (Y, X): above 0 where it tells that the first one was earlier, below 0 where it tells
            the contrary. Swapping the frames must change the sign and nothing else.
        """


def find(dataset: Dataset, params: Params | None = None, job: Job | None = None) -> pd.DataFrame:
    """Find likely events in whole movies, such as divisions (tap.txt, 3.3).

    Writes, under ``events/<name>/``, a table of events per FOV (:data:`EVENT_COLUMNS
    <napari_dynaclr.core.tables.EVENT_COLUMNS>`) and ``attribution.zarr``, an OME-Zarr plate of
    float32 maps (T, 1, Z, Y, X) of how much each place tells of the order of the frames at t and
    a step later, below 0 where it tells the contrary; of the last frames, which have no later one,
    the map is zeros. Places where it is lowest are what would be found, were the movie played
    backwards: they are listed in ``events/<name>/backwards/`` and say how many events of a score
    are there by chance. Asked for, the
    representation of every pixel is kept too, in ``features.zarr``. An interrupted FOV goes on
    after its last finished time point. With maps that are there already, and other settings of
    what counts as an event, the network does not run again.

    A frame that cannot be read keeps none of the others from being looked at; it is tried again
    by each later run. One that holds nothing but a single value has no events, and is named.

    Parameters
    ----------
    dataset
        The movies; they need not be tracked. Where they are, events are given to cells.
    params
        Settings of a method; the default method if omitted.
    job
        Progress and cancelling.

    Returns
    -------
    pandas.DataFrame
        ``fov_name``, :data:`~napari_dynaclr.core.tables.EVENT_COLUMNS`; ``overall_rank``, from 1
        for the highest score of all FOVs, in that order; and ``false_share``, the share that is
        expected to have no direction in time of this event and all before it.

    Raises
    ------
    InvalidInput
        If there are no weights, movies are too short for a pair, or have nothing but empty
        frames.
    """
    from napari_dynaclr.embedding.events.stopping import advice

    job = job or Job()
    method, params = resolve("find", params)
    module = method.load()
    with ExitStack() as stack:
        entry = stack.enter_context(recorded(dataset, method, params))
        finder: Finder = stack.enter_context(module.open_finder(dataset, params, job))
        entry["weights_sha256"] = list(finder.weights)
        run = _Run(dataset, method, params, module.map_params(params), finder)  # type: ignore[arg-type] # of its method
        run.look(job)
        run.pick(job)
    found = all_events(dataset, run.name)
    if len(found):
        job.note(advice(found["false_share"].to_numpy()))
    return found


def all_events(dataset: Dataset, name: str) -> pd.DataFrame:
    """Join the likely events of all FOVs.

    Parameters
    ----------
    dataset
        The FOVs.
    name
        What the events are called.

    Returns
    -------
    pandas.DataFrame
        As from :func:`find`.

    Raises
    ------
    MissingInput
        If they have not been looked for in a FOV.
    """
    import pandas as pd

    from napari_dynaclr.core.tables import EVENT_COLUMNS
    from napari_dynaclr.embedding.events.stopping import false_share

    tables = [dataset.workspace.events(name, fov).assign(fov_name=fov.name) for fov in dataset.fovs]
    # An empty table would make its columns those of another type.
    found = pd.concat([table for table in tables if len(table)] or tables[:1])
    found = found.sort_values("score", ascending=False, kind="stable", ignore_index=True)
    found["overall_rank"] = range(1, len(found) + 1)
    backwards = [_scores(dataset.workspace.backwards_csv(name, fov)) for fov in dataset.fovs]
    found["false_share"] = false_share(found["score"].to_numpy(), np.concatenate(backwards))
    return found[["fov_name", *EVENT_COLUMNS, "overall_rank", "false_share"]]


def _scores(file: Path) -> NDArray[np.float64]:
    import pandas as pd

    return pd.read_csv(file)["score"].to_numpy(float)


def _publish(writers: Iterable[FovWriter]) -> None:
    for writer in writers:
        writer.publish(without=True)


def maps_key(
    dataset: Dataset,
    fov: Fov,
    method: Method,
    map_params: Params,
    channel: str,
    weights: Sequence[str],
) -> str:
    """Return what the maps of a FOV are made from.

    Parameters
    ----------
    dataset, fov
        The movie.
    method
        That makes them.
    map_params
        Those of its settings that they depend on.
    channel
        What it sees.
    weights
        Hashes of its weights.
    """
    stain = stain_inputs(dataset, fov, [channel])
    inputs = (source_key(fov), "both orders", *stain.values(), *weights)
    return result_key(method, map_params, *inputs)


@dataclass(frozen=True)
class _Run:
    """One run: first maps of all FOVs, then events from them."""

    dataset: Dataset
    method: Method
    params: PickingParams
    map_params: Params
    finder: Finder

    @property
    def name(self) -> str:
        return self.params.name or self.method.name

    @property
    def result(self) -> str:
        return f"events.{self.name}"

    def _map_inputs(self, fov: Fov) -> dict[str, str]:
        return stain_inputs(self.dataset, fov, [self.finder.channel(fov)])

    def _map_keys(self) -> dict[str, str]:
        finder = self.finder
        return {
            fov.name: maps_key(
                self.dataset,
                fov,
                self.method,
                self.map_params,
                finder.channel(fov),
                finder.weights,
            )
            for fov in self.dataset.fovs
        }

    def look(self, job: Job) -> None:
        """Make the maps that are not there yet."""
        from napari_dynaclr.embedding.events.maps import make_maps

        keys = self._map_keys()
        wanted = [ATTRIBUTION, *([FEATURES] if self.params.save_features else [])]
        todo: dict[str, set[str]] = {}
        for kind in wanted:
            for fov in pending(self.dataset, f"{self.result}.{kind}", keys)[1]:
                todo.setdefault(fov.name, set()).add(kind)
        fovs = [fov for fov in self.dataset.fovs if fov.name in todo]
        for fov in fovs:
            self.finder.step(fov)  # one that is too short is told of before hours of work
        total = len(self.dataset.fovs)
        work = job.track(fovs, "look for events", done=total - len(fovs), total=total)
        blank: dict[str, list[FovWriter]] = {}
        for fov in claimed(self.dataset.workspace, self.result, work):
            writers = {
                kind: self._writer(kind, fov, keys[fov.name])
                for kind in wanted
                if kind in todo[fov.name]
            }
            if make_maps(fov, self.finder, writers, job):
                _publish(writers.values())
            else:
                blank[fov.name] = list(writers.values())
        self._tell_blank(list(blank), job)
        for name, held in blank.items():
            with self.dataset.workspace.claim(self.result, self.dataset[name]):
                _publish(held)

    def _tell_blank(self, names: Sequence[str], job: Job) -> None:
        """Name FOVs in which nothing is to be seen; refuse them where there are no others.

        Raises
        ------
        InvalidInput
            If that is so in all of them.
        """
        if not names:
            return
        fov = self.dataset[names[0]]
        some = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        where = f"FOV{'s' * (len(names) > 1)} {some}"
        nothing = (
            f"{where}, channel {self.finder.channel(fov)}: no two frames {self.finder.step(fov)} "
            "apart show anything"
        )
        if len(names) == len(self.dataset.fov_names):
            raise InvalidInput(f"{nothing}. Choose another channel or other FOVs.")
        job.note(f"{nothing}, and there are no events.")

    def _writer(self, kind: str, fov: Fov, key: str) -> FovWriter:
        numbers = range(self.finder.features)
        names = [ATTRIBUTION] if kind == ATTRIBUTION else [f"feature {i}" for i in numbers]
        return FovWriter(
            self.dataset.workspace,
            f"{self.result}.{kind}",
            fov,
            key,
            names,
            "float32" if kind == ATTRIBUTION else "float16",
            inputs=self._map_inputs(fov),
            slices=1,
            depth=1 if self.finder.projects else None,
        )

    def pick(self, job: Job) -> None:
        """Take the events from the maps."""
        from napari_dynaclr.core.atomic import write_csv
        from napari_dynaclr.embedding.events.picking import pick

        workspace, maps = self.dataset.workspace, f"{self.result}.{ATTRIBUTION}"
        inputs: dict[str, dict[str, str]] = {}
        keys: dict[str, str] = {}
        for fov in self.dataset.fovs:
            made = {maps: workspace.key(maps, fov) or ""}
            tracks = workspace.key("tracks", fov)
            if tracks is not None and not workspace.outdated("tracks", fov):
                made["tracks"] = tracks
            inputs[fov.name] = made
            seen = [f"{name} {key}" for name, key in made.items()]
            if "tracks" in made:  # corrected ones have the same key, and other cells
                seen.append(workspace.corrected(fov))
            keys[fov.name] = result_key(self.method, self.params, *seen)
        done, todo = pending(self.dataset, self.result, keys)
        work = job.track(todo, "pick events", done=len(done), total=len(self.dataset.fovs))
        for fov in claimed(workspace, self.result, work):
            tracked = "tracks" in inputs[fov.name]
            table, backwards = pick(
                self.dataset, fov, workspace.plate(maps), self.params, tracked, job
            )
            workspace.forget(self.result, fov)  # void from here on, also if this run is killed
            write_csv(workspace.backwards_csv(self.name, fov), backwards)
            write_csv(workspace.events_csv(self.name, fov), table)
            workspace.mark_complete(self.result, fov, keys[fov.name], inputs[fov.name])
