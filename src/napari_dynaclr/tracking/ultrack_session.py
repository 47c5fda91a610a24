"""The only file that knows ultrack: its database, its solvers, and its noise."""

from __future__ import annotations

import logging
import math
import sqlite3
import warnings
from contextlib import closing, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_dynaclr.core.errors import InvalidInput, MissingExtra
from napari_dynaclr.core.multiscale import first_line
from napari_dynaclr.core.tables import NODES_PER_FRAME, node_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.tracking.ultrack import UltrackParams

# What ultrack says on standard output and error, which is ours to write to, by module and name.
_NOISE = {
    "ultrack.core.solve.sqltracking": ("print", lambda *_args, **_kwargs: None),
    "ultrack.core.solve.solver.mip_solver": ("print", lambda *_args, **_kwargs: None),
    "ultrack.core.linking.processing": ("print", lambda *_args, **_kwargs: None),
    "ultrack.utils.multiprocessing": ("tqdm", lambda items, **_kwargs: items),
}


def load_ultrack() -> Any:
    """Import ultrack, and undo what that does to logging and multiprocessing of everyone.

    Raises
    ------
    MissingExtra
        If it is not installed.
    """
    import multiprocessing.connection as connection

    root = logging.getLogger()
    handlers, pickler = root.handlers[:], connection._ForkingPickler  # type: ignore[attr-defined] # noqa: SLF001
    try:
        # Of what it imports, some is written in Python of before 3.12.
        with warnings.catch_warnings(action="ignore"):
            ultrack = import_module("ultrack")
        for module, (name, silent) in _NOISE.items():
            setattr(import_module(module), name, silent)
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "ultrack", "ultrack") from None
    finally:
        root.handlers[:] = handlers
        connection._ForkingPickler = pickler  # type: ignore[attr-defined] # noqa: SLF001
    for name in ("ultrack", "mip"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return ultrack


class _One:
    """The frame of one time point, where ultrack wants a whole movie to take it from."""

    def __init__(self, shape: tuple[int, ...], t: int, frame: NDArray[Any]) -> None:
        self.shape, self._t, self._frame = shape, t, frame

    def __getitem__(self, t: int) -> NDArray[Any]:
        if t != self._t:
            raise IndexError(t)
        return self._frame


class UltrackSession:
    """ultrack's work on one FOV: candidates, links, solution.

    Parameters
    ----------
    folder
        Folder of its own for the database; nothing is written elsewhere.
    fov
        The FOV.
    params
        Settings, in um.
    """

    def __init__(self, folder: Path, fov: Fov, params: UltrackParams) -> None:
        from napari_dynaclr.tracking.ultrack import areas

        self._ultrack = load_ultrack()
        self._fov, self._params = fov, params
        self._flat = fov.shape[1] == 1
        self._shape = (fov.shape[0], *fov.shape[2:]) if self._flat else fov.shape
        smallest, largest = areas(fov, params)
        border = [round(params.max_distance / size) for size in fov.scale[1:]]
        folder.mkdir(parents=True, exist_ok=True)
        self._database = folder / "data.db"
        self._config = self._ultrack.MainConfig.model_validate(
            {
                "data": {"working_dir": folder},
                "segmentation": {"min_area": smallest, "max_area": largest, "min_frontier": 0.02},
                "linking": {"max_distance": params.max_distance},
                "tracking": {
                    "appear_weight": -params.appearance,
                    "disappear_weight": -params.appearance,
                    "division_weight": -params.division,
                    "image_border_size": (0, *border),
                    "window_size": params.window,
                    "overlap_size": 2,
                    "time_limit": math.ceil(60 * params.time_limit),
                    "solver_name": "CBC" if params.solver == "cbc" else "GUROBI",
                },
            }
        )
        self._open: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        import gc

        gc.collect()  # ultrack leaves connections to the database to be collected

    def add(self, t: int, foreground: NDArray[np.bool_], contours: NDArray[np.float32]) -> None:
        """Find the candidates of a time point; time points come in order.

        Parameters
        ----------
        t
            Time point.
        foreground, contours
            Maps (Z, Y, X).
        """
        maps = [_One(self._shape, t, m[0] if self._flat else m) for m in (foreground, contours)]
        with _apart():
            self._ultrack.segment(
                *maps, self._config, batch_index=t, max_segments_per_time=NODES_PER_FRAME
            )

    def link(self, job: Job) -> None:
        """Score the overlap of candidates of neighbouring time points."""
        last = self._number("select max(t) from nodes")
        scale = self._fov.scale[1:] if self._flat else self._fov.scale
        for t in job.track(range(last), f"overlaps {self._fov.name}"):
            with _apart():
                self._ultrack.link(self._config, scale=scale, batch_index=t)

    def solve(self, job: Job) -> None:
        """Choose the cells and links that are worth most together, window by window.

        Raises
        ------
        InvalidInput
            If the solver finds no solution, or the wanted one is not there.
        """
        if not self._number("select count(*) from links"):
            return
        windows = math.ceil(self._number("select max(t) from nodes") / self._params.window)
        # Every other window first; those between then join them.
        order = [*range(0, windows, 2), *range(1, windows, 2)]
        for window in job.track(order, f"solve {self._fov.name}"):
            first = window * self._params.window
            if self._links_between(first, first + self._params.window):
                self._solve(window, job)

    def _solve(self, window: int, job: Job) -> None:
        from mip import OptimizationStatus as Status
        from ultrack.core.solve.sqltracking import SQLTracking

        wanted = self._config.tracking_config.solver_name
        tracker = SQLTracking(self._config)
        try:
            with _apart():
                tracker.construct_model(window)
            model = tracker.solver._model  # noqa: SLF001 # its log can be turned off only there
            model.verbose = 0
            if wanted == "GUROBI" and model.solver_name == "CBC":
                raise RuntimeError("it is not installed, or its licence was not found")
            tracker.solve()
            status = model.status
            if wanted == "GUROBI" and status not in (Status.OPTIMAL, Status.FEASIBLE):
                raise RuntimeError(f"it ended with '{status.name.lower()}'")
        except Exception as error:
            if wanted != "GUROBI":
                raise
            if self._params.solver == "gurobi":
                raise InvalidInput(
                    f"Gurobi cannot solve this ({first_line(error)}): set up a licence that "
                    "allows the size, or choose solver=cbc."
                ) from None
            self._config.tracking_config.solver_name = "CBC"
            self._solve(window, job)
            return
        # Asked before ultrack does, which would write the model into the current folder.
        if status not in (Status.OPTIMAL, Status.FEASIBLE):
            raise InvalidInput(
                f"The solver found no solution for frames {window * self._params.window} and "
                f"after of FOV {self._fov.name} ({status.name.lower()}): raise time_limit, or "
                "lower window."
            )
        if status == Status.FEASIBLE:
            job.note(
                f"FOV {self._fov.name}: the solver's time was up for a window; its tracks are not "
                "the best there are. Raise time_limit, or lower window."
            )
        try:
            tracker.add_solution(window)
        except ValueError as error:
            if "solution is empty" not in str(error):
                raise  # no cell is worth its cost: nothing to add

    def parents(self) -> pd.DataFrame:
        """Return the chosen cells and those before them.

        Returns
        -------
        pandas.DataFrame
            ``t``, ``label``, and ``before``, the label of the cell before it at ``t - 1``
            (0 for none).
        """
        with closing(sqlite3.connect(self._database)) as database:
            table = pd.read_sql("select t, id, parent_id from nodes where selected", database)
        label = table["id"] - node_id(table["t"], pd.Series(0, table.index))
        before = table["parent_id"] - node_id(table["t"] - 1, pd.Series(0, table.index))
        return pd.DataFrame(
            {"t": table["t"], "label": label, "before": before.where(table["parent_id"] > 0, 0)}
        )

    def paint(self, t: int, image: NDArray[np.uint32]) -> None:
        """Draw the chosen cells of a time point with their labels, in place.

        Parameters
        ----------
        t
            Time point.
        image
            (Y, X), or (Z, Y, X) where the FOV has slices.
        """
        import sqlalchemy as sqla
        from sqlalchemy.orm import Session
        from ultrack.core.database import NodeDB

        engine = sqla.create_engine(self._config.data_config.database_path)
        # These pickles were made by this very process: a database of an earlier run is never read.
        with Session(engine) as session:
            for number, node in session.query(NodeDB.id, NodeDB.pickle).where(
                NodeDB.t == t, NodeDB.selected
            ):
                image[node.slice][node.mask] = number - (t + 1) * NODES_PER_FRAME
        engine.dispose()

    def _links_between(self, start: int, stop: int) -> int:
        return self._number(
            "select count(*) from links join nodes on nodes.id = links.source_id "
            f"where nodes.t >= {start - 1} and nodes.t < {stop}"
        )

    def _number(self, query: str) -> int:
        with closing(sqlite3.connect(self._database)) as database:
            names = "select name from sqlite_master"
            if query.split("from ")[1].split()[0] not in {n for (n,) in database.execute(names)}:
                return 0
            return int(database.execute(query).fetchone()[0] or 0)


@contextmanager
def _apart() -> Iterator[None]:
    """Keep to ultrack what is its own.

    It seeds the global random numbers with every frame, and makes libraries warn of what is not
    ours to change.
    """
    state = np.random.get_state()
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        np.random.set_state(state)
