"""How stages are run in one viewer, and how what they make comes to be seen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.errors import DynaclrError, InvalidInput
from napari_dynaclr.core.naming import by_titles
from napari_dynaclr.core.registry import find_method, methods, resolve
from napari_dynaclr.gui.layers import STAIN
from napari_dynaclr.gui.runner import RunState
from napari_dynaclr.gui.settings import recall
from napari_dynaclr.gui.triton import load_triton
from napari_dynaclr.session.training import Training, read_figures

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Figures, Job, Part
    from napari_dynaclr.core.params import Params
    from napari_dynaclr.core.registry import Method
    from napari_dynaclr.gui.runner import Run
    from napari_dynaclr.gui.workbench import Workbench

_NEW_LAYERS = {"stain": {STAIN}, "segment": {"cells"}, "track": {"cells", "tracks", "marks"}}
"""Layers that a stage makes anew."""


class Running:
    """Runs stages, one at a time, and has their results shown.

    Parameters
    ----------
    bench
        The viewer's workbench.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench, self._session = bench, bench.session
        self._growing = ""
        self.notes: dict[str, list[str]] = {}
        """What the last run of a stage has said of its result, a sentence each, by stage."""

    def run(
        self, stage: str, params: Params, fovs: list[str], then: Callable[[Any], None] | None = None
    ) -> Run | None:
        """Run a stage in the background; its results appear by themselves.

        Parameters
        ----------
        stage
            The verb.
        params
            Settings of one of its methods.
        fovs
            Names of the FOVs to work on.
        then
            Called with the result.

        Returns
        -------
        Run or None
            None where something is running already; the user is told.
        """
        bench, dataset = self._bench, self._session.dataset
        if dataset is None:
            bench.explain(InvalidInput("No dataset is open: open one first."))
            return None
        if bench.runner.stage is not None:
            running = bench.runner.stage.title
            bench.explain(InvalidInput(f"'{running}' is running: wait or cancel."))
            return None
        method, _ = resolve(stage, params)

        def work(job: Job) -> Any:
            if method.extra == "torch":
                load_triton()
            bench.correcting.write_first(dataset, fovs, job)
            try:
                return method.verb()(dataset.select(fovs), params, job)
            except DynaclrError as error:
                error.args = (by_titles(str(error), type(params)),)
                raise

        self.notes.pop(stage, None)
        run = bench.runner.start_stage(stage, work, then)
        run.made.connect(lambda part: self._part_made(part, dataset))
        if stage == "train":
            self._watch(run, method, params, dataset)

        def ended() -> None:
            finished = run.state is RunState.FINISHED
            notes = [by_titles(note, type(params)) for note in run.job.notes]
            if bench.is_open(dataset):
                self.notes[stage] = notes
            for note in notes:
                self._session.say(note)
            self.ended(stage, dataset, _embedding(method, params) if finished else "")

        run.ended.connect(ended)
        return run

    def run_missing(self, stage: str) -> None:
        """Run a stage that another one waits for, with the user's settings, on what is shown."""
        self._bench.run_stage(
            stage, self._settings(stage), self._session.fovs_in(self._session.scope)
        )

    def _settings(self, stage: str) -> Params:
        """Return what the form of a stage would offer: the last settings, of what is shown."""
        name = recall(f"method/{stage}", "")
        known = [method.name for method in methods(stage)]
        method = find_method(stage, name if name in known else None)
        kind = method.params_class()
        shown = {"task": self._session.task.name, "embedding": self._session.cells.embedding}
        values = {name: one for name, one in shown.items() if name in kind.model_fields and one}
        try:
            return kind.parse(recall(f"params/{stage}/{method.name}", {}) | values)
        except InvalidInput:  # remembered by another version
            return kind.parse(values)

    def _watch(self, run: Run, method: Method, params: Params, dataset: Dataset) -> None:
        """Keep the figures of a training, whoever looks at them and when."""
        session, about = self._session, params.model_dump()
        name, workspace = str(about.get("name", "")), dataset.workspace
        epochs = int(about.get("epochs", 0))
        session.set_training(Training(workspace.path, name, epochs, method=method.name))

        def measured(figures: Figures) -> None:
            if session.training is not None:
                session.set_training(session.training.plus(figures))

        def done(earlier: pd.DataFrame | None) -> None:
            if session.training is not None and not run.is_over:
                session.set_training(replace(session.training, earlier=earlier))

        run.measured.connect(measured)
        # It may go on from where an earlier one was stopped.
        self._bench.runner.start("read figures", lambda _job: read_figures(workspace, name), done)

    # -- showing ----------------------------------------------------------

    def _part_made(self, part: Part, dataset: Dataset) -> None:
        """Show what grows; a FOV that is complete while others are worked on, as it is."""
        bench, session = self._bench, self._session
        if not bench.is_open(dataset) or part.result.startswith("events."):
            return  # maps of events are shown by those who look for them
        before, self._growing = self._growing, part.fov_name
        fov = session.fov
        if fov is not None and before == fov.name != part.fov_name:
            if part.result == "stain" and session.dataset is not None:
                session.dataset.refresh()  # it has channels that it did not have
                bench.layers.readmit({STAIN})
            bench.show_again()
        bench.layers.show_part(part)

    def ended(self, stage: str, dataset: Dataset, embedding: str = "") -> None:
        """Show what a stage has written.

        Parameters
        ----------
        stage
            The verb.
        dataset
            What it worked on.
        embedding
            Name of one that is to be mapped or looked at next, "" for none.
        """
        bench, session = self._bench, self._session
        bench.layers.end_parts()
        self._growing = ""
        if session.dataset is None or not bench.is_open(dataset):
            return
        session.dataset.refresh()
        session.results_changed.emit(stage)
        if session.fov is None:
            return
        bench.layers.readmit(_NEW_LAYERS.get(stage, set()))
        if stage in ("segment", "track", "correct", "stain"):
            bench.show_again()
        elif stage == "embed" and embedding:
            # Only when it is known is it among the choices of the form.
            bench.load_cells(lambda: bench.propose("project", embedding=embedding))
        elif stage in ("embed", "project", "classify", "annotate"):
            if stage == "project" and embedding:
                session.embedding = embedding
            bench.load_cells()


def _embedding(method: Method, params: Params) -> str:
    """Name of the embedding that a stage with these settings makes or maps; "" for others."""
    about = params.model_dump()
    if method.stage == "embed":
        return str(about.get("name") or method.name)
    return str(about.get("embedding", "")) if method.stage == "project" else ""
