"""Open dataset: a path, the plate to pick a FOV from, and what is there already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QCompleter,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
)

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.gui.latest import Latest
from napari_dynaclr.gui.open.plate_map import COLOURS, PlateMap
from napari_dynaclr.gui.open.samples import SIMULATE, make_sample
from napari_dynaclr.gui.settings import recall, remember
from napari_dynaclr.gui.steps.progress import RunProgress
from napari_dynaclr.gui.view import View
from napari_dynaclr.gui.workbench import NEXT, PREVIOUS
from napari_dynaclr.session.plate import STEPS, latest, plate_status
from napari_dynaclr.summary import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from qtpy.QtGui import QDragEnterEvent, QDropEvent

    from napari_dynaclr.core.job import Job

_RECENT = 10
_SAMPLE = "Simulated sample"


class OpenWidget(View):
    """Opens a dataset and shows one of its FOVs.

    Parameters
    ----------
    napari_viewer
        The viewer; napari knows by this name that it must give it.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.setAcceptDrops(True)
        self.path = QComboBox()
        self.path.setEditable(True)
        self.path.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.path.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.path.setMinimumContentsLength(12)
        # Else Return opens an earlier path that differs in case only, and opens it twice.
        self.path.setDuplicatesEnabled(True)
        completer, edit = self.path.completer(), self.path.lineEdit()
        if completer is not None:  # completed in place, Return opens what was not typed
            completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
        if edit is not None:
            edit.setPlaceholderText("plate.zarr: type, browse, or drop it here")
            edit.setAcceptDrops(False)  # it would write "file://..."; the widget opens it
            edit.returnPressed.connect(self.open)
        self.browse, self.open_button = QPushButton("Browse…"), QPushButton("Open")
        self.sample = QPushButton(_SAMPLE)
        self.sample.setToolTip(
            "Make a small infection time-lapse to try everything on (about a minute)."
        )
        self.facts = QLabel()
        self.facts.setWordWrap(True)
        self.facts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.plate = PlateMap()
        self.legend = QLabel()
        self.legend.setWordWrap(True)
        self.fovs = QListWidget()
        self.fovs.setToolTip("FOVs of the well; click one to show it.")
        self.previous, self.next = QPushButton("◀ Previous FOV"), QPushButton("Next FOV ▶")
        self.previous.setToolTip(f"Show the FOV before this one ({PREVIOUS}).")
        self.next.setToolTip(f"Show the FOV after this one ({NEXT}).")
        self.progress = RunProgress()
        self._status: dict[str, set[str]] = {}
        self._looks = Latest(self.bench.runner, self, "recent")
        self._lay_out()
        self.open_button.clicked.connect(self.open)
        self.browse.clicked.connect(self._browse)
        self.path.activated.connect(self.open)
        self.sample.clicked.connect(self._sample_clicked)
        self.plate.chosen.connect(self._choose_well)
        self.fovs.itemActivated.connect(self._choose_fov)
        self.fovs.itemClicked.connect(self._choose_fov)
        self.previous.clicked.connect(lambda: self.bench.step_fov(-1))
        self.next.clicked.connect(lambda: self.bench.step_fov(1))
        self._show_recent()

    def _lay_out(self) -> None:
        top = QGridLayout()
        top.addWidget(self.path, 0, 0, 1, 3)
        for i, button in enumerate((self.browse, self.open_button, self.sample)):
            top.addWidget(button, 1, i)
        steps = QHBoxLayout()
        steps.addWidget(self.previous)
        steps.addWidget(self.next)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addLayout(top)
        layout.addWidget(self.progress)
        layout.addWidget(self.facts)
        layout.addWidget(self.plate)
        layout.addWidget(self.legend)
        layout.addWidget(self.fovs, 1)
        layout.addLayout(steps)

    # -- opening ----------------------------------------------------------

    def open(self) -> None:
        """Open what the path says."""
        text = self.path.currentText().strip("\"' \t")  # file managers copy paths with quotes
        if text:
            self.bench.open(Path(text).expanduser())
        else:
            self.bench.explain(InvalidInput("No path is given: type, browse, or drop one."))

    def _browse(self) -> None:
        start = self.path.currentText() or recall("folder", "")
        folder = QFileDialog.getExistingDirectory(self, "Open an OME-Zarr dataset", start)
        if folder:
            remember("folder", str(Path(folder).parent))
            self.path.setEditText(folder)
            self.open()

    def make_sample(self) -> None:
        """Open the simulated sample; make it first, if it is not there yet."""
        run = make_sample(self.bench)
        if run is not None:  # followed here as well: the widget may not be on screen yet
            self.progress.follow(run)

    def _sample_clicked(self) -> None:
        run = self.bench.runner.stage
        if run is not None and run.title == SIMULATE:
            run.cancel()
        else:
            self.make_sample()

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        """Take folders."""
        data = event.mimeData() if event is not None else None
        if event is not None and data is not None and data.hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Open the folder that was dropped."""
        data = event.mimeData() if event is not None else None
        if data is None or not data.hasUrls():
            return
        url = data.urls()[0]
        if url.isLocalFile():
            self.path.setEditText(url.toLocalFile())
            self.open()
        else:
            self.bench.explain(
                InvalidInput(f"{url.toString()} is not on this computer: download it first.")
            )

    def _show_recent(self) -> None:
        shown = self.path.currentText()
        recent = [str(one) for one in recall("recent", [])]
        self.path.clear()
        self.path.addItems(recent)
        self.path.setEditText(shown)

        def work(_job: Job) -> list[str]:
            return [one for one in recent if not Path(one).exists()]

        # In a lane of its own: a disk that is asleep or away must keep nobody waiting.
        self._looks.start("look for recent datasets", work, self._drop_recent)

    def _drop_recent(self, gone: list[str]) -> None:
        """Offer no longer what is not there any more."""
        shown = self.path.currentText()
        for i in reversed(range(self.path.count())):
            if self.path.itemText(i) in gone:
                self.path.removeItem(i)
        self.path.setEditText(shown)

    # -- FOVs -------------------------------------------------------------

    def _choose_well(self, well: str) -> None:
        names = [name for name in self._status if name.startswith(f"{well}/")]
        if names:
            self.bench.show_fov(names[0])

    def _choose_fov(self, item: QListWidgetItem) -> None:
        self.bench.show_fov(str(item.data(Qt.ItemDataRole.UserRole)))

    def _show_fov(self) -> None:
        """Mark the FOV on screen, and list those of its well."""
        fov = self.session.fov
        well = fov.well if fov is not None else ""
        self.plate.set_well(well)
        self.fovs.clear()
        for name, done in self._status.items():
            if name.startswith(f"{well}/"):
                steps = [step for step in STEPS if step in done]
                item = QListWidgetItem(f"{name}   {(steps or ['nothing done yet'])[-1]}")
                item.setToolTip(", ".join(steps))
                item.setData(Qt.ItemDataRole.UserRole, name)
                self.fovs.addItem(item)
                if fov is not None and name == fov.name:
                    self.fovs.setCurrentItem(item)
        some = len(self._status) > 1
        for button in (self.previous, self.next):
            button.setEnabled(some)

    # -- following --------------------------------------------------------

    def connections(self) -> list[tuple[Any, Callable[..., Any]]]:
        """Follow the dataset, the FOV and results."""
        return [
            (self.session.dataset_changed, self._dataset_changed),
            (self.session.fov_changed, self._show_fov),
            (self.session.results_changed, self._results_changed),
            (self.session.marks_changed, self._marks_changed),
            (self.bench.runner.stage_changed, self._stage_changed),
        ]

    def _dataset_changed(self) -> None:
        dataset = self.session.dataset
        if dataset is not None:
            known = [str(dataset.root), *recall("recent", [])]
            remember("recent", list(dict.fromkeys(known))[:_RECENT])
            self._show_recent()
        self.synchronise()

    def _results_changed(self, _stage: str) -> None:
        self._read_plate()

    def _marks_changed(self) -> None:
        fresh = self.session.marks.fov_names - {
            name for name, done in self._status.items() if "annotated" in done
        }
        if fresh:
            for name in fresh & set(self._status):
                self._status[name].add("annotated")
            self.plate.set_status(self._status)
            self._show_fov()

    def synchronise(self) -> None:
        """Show the dataset that is open, and a sample that is being made."""
        if self.session.dataset is not None:
            self.path.setEditText(str(self.session.dataset.root))
        self._stage_changed()
        self._read_plate()

    def _stage_changed(self) -> None:
        """Show how far a sample is, also one that another widget has asked for."""
        run = self.bench.runner.stage
        is_made = run is not None and run.title == SIMULATE
        if run is not None and is_made:
            self.progress.follow(run)
        self.sample.setText("Cancel" if is_made else _SAMPLE)

    def _read_plate(self) -> None:
        """Read what there is, in the background."""
        dataset = self.session.dataset
        if dataset is None:
            self._show({}, "")
            return

        def work(_job: Job) -> tuple[dict[str, set[str]], str]:
            return plate_status(dataset), describe(dataset)

        def done(found: tuple[dict[str, set[str]], str]) -> None:
            if self.session.dataset is dataset:
                self._show(*found)

        self.read("read the plate", work, done)

    def _show(self, status: dict[str, set[str]], facts: str) -> None:
        self._status = status
        self.facts.setText(facts)
        self.facts.setVisible(bool(facts))
        self.plate.set_status(status)
        self.plate.setVisible(len({name.rpartition("/")[0] for name in status}) > 1)
        seen = {latest(done) for done in status.values()}
        steps = [step for step in ("", *STEPS) if step in seen]
        self.legend.setText(
            "&nbsp; ".join(
                f'<span style="color:{COLOURS[step]}">●</span> {step or "nothing done yet"}'
                for step in steps
            )
        )
        self.legend.setVisible(self.plate.isVisibleTo(self))
        self.fovs.setVisible(bool(status))
        self._show_fov()
