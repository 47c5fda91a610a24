"""The review queue: the cells to look at next, with their patches."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from qtpy.compat import isalive
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_dynaclr.annotation.queue import review
from napari_dynaclr.gui.annotating import label
from napari_dynaclr.gui.gallery.gallery import Gallery, Patch
from napari_dynaclr.session import Scope
from napari_dynaclr.session.thumbnails import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from napari_dynaclr.annotation.queue import By
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.gui.workbench import Workbench
    from napari_dynaclr.session import Session

LENGTH = 60
"""Cells in a queue: as many as a person labels before the classifier should learn again."""

_FILL = "Fill queue"

KINDS: tuple[tuple[str, By, str], ...] = (
    ("most uncertain", "uncertain", "Cells whose two likeliest states are closest."),
    ("unlabelled clusters", "cluster", "A typical cell of each group on the map without labels."),
    ("label and prediction disagree", "disagreement", "Annotated cells predicted otherwise."),
)
"""Title, what :func:`~napari_dynaclr.annotation.queue.review` calls it, and tool tip."""

_KEPT: WeakKeyDictionary[Session, tuple[Dataset, list[Patch]]] = WeakKeyDictionary()
"""The queue of each viewer, so that a widget that is opened again shows it again."""


_WHERE = {Scope.FOV: "this FOV", Scope.WELL: "this well", Scope.PLATE: "the whole plate"}


class ReviewPanel(QWidget):
    """Fills the review queue, shows it, and walks through it.

    Parameters
    ----------
    bench
        The viewer's workbench.
    parent
        Its parent in Qt.
    """

    filled = Signal()
    """Another queue is shown."""

    def __init__(self, bench: Workbench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bench = bench
        self.by = QComboBox()
        self.by.setAccessibleName("Review")
        for title, name, tip in KINDS:
            self.by.addItem(title, name)
            self.by.setItemData(self.by.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.by.setToolTip("Which cells to look at next.")
        self.fill_button = QPushButton(_FILL)
        self.fill_button.setToolTip("Choose cells from the FOVs whose cells are shown.")
        self.among = QLabel()
        self.among.setToolTip("Choose another part of the plate above the map.")
        self.gallery = Gallery(bench, self)
        self.gallery.setToolTip("Arrows move, Enter or a click goes there, keys give states.")
        self.heading = QLabel()
        self.previous_button, self.next_button = QToolButton(), QToolButton()
        for button, text, tip in (
            (self.previous_button, "◀", "Previous in the queue"),
            (self.next_button, "▶", "Next in the queue (Q)"),
        ):
            button.setText(text)
            button.setToolTip(tip)
            button.setAccessibleName(tip)
        self._lay_out()
        self.fill_button.clicked.connect(self.fill)
        self.previous_button.clicked.connect(lambda: self.step(-1))
        self.next_button.clicked.connect(lambda: self.step(1))
        self.gallery.moved.connect(self._tell)
        self.gallery.activated.connect(bench.go_to)
        self.gallery.labelled.connect(partial(label, bench))
        self._tell(-1)

    def _lay_out(self) -> None:
        top = QGridLayout()
        top.setHorizontalSpacing(6)
        top.addWidget(self.by, 0, 0)
        top.addWidget(self.fill_button, 0, 1)
        top.addWidget(self.among, 1, 0, 1, 2)
        top.setColumnStretch(0, 1)
        self._queue = QWidget()
        below = QVBoxLayout(self._queue)
        below.setContentsMargins(0, 0, 0, 0)
        below.setSpacing(2)
        line = QHBoxLayout()
        line.addWidget(self.heading, 1)
        line.addWidget(self.previous_button)
        line.addWidget(self.next_button)
        below.addLayout(line)
        below.addWidget(self.gallery, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addWidget(self._queue, 1)
        layout.addStretch(0)  # takes the room that an empty queue leaves

    @property
    def patches(self) -> list[Patch]:
        """The cells in the queue."""
        return self.gallery.patches

    def fill(self) -> None:
        """Choose cells to look at, in the background."""
        session = self._bench.session
        names, dataset = session.fovs_in(session.scope), session.dataset
        if dataset is None or not names:
            return
        task, by, title = session.task.name, self.by.currentData(), self.by.currentText()
        embedding = session.cells.embedding or "features"

        def work(job: Job) -> list[Patch]:
            table = review(dataset.select(names), task, by, LENGTH, embedding, job)
            return _patches(table, _tracks(dataset, set(table["fov_name"])))

        def done(found: list[Patch]) -> None:
            # Not a word to this panel: it may be gone, and who opens it again finds the queue.
            _KEPT[session] = (dataset, found)
            if not found:
                session.say(f"no cell to review for '{task}': {title}")

        run = self._bench.runner.start(f"fill the queue with {by} cells", work, done)
        self.fill_button.setEnabled(False)
        self.fill_button.setText("Filling…")
        run.ended.connect(self._filled)

    def _filled(self) -> None:
        self.fill_button.setText(_FILL)
        if self.isVisible():
            self.synchronise()

    def synchronise(self) -> None:
        """Show the queue as it is now."""
        session = self._bench.session
        self.among.setText(f"among the cells of {_WHERE[session.scope]}")
        dataset, kept = _KEPT.get(session, (None, []))
        if dataset is not session.dataset:
            kept = []
        if kept != self.gallery.patches:
            self.gallery.show_patches(kept)
            self.filled.emit()
        elif self.gallery.loaded < len(kept):
            self.gallery.refresh()
        self._queue.setVisible(bool(kept))
        if self.fill_button.text() == _FILL:
            self.fill_button.setEnabled(session.dataset is not None)
        if kept and dataset is not None:
            self._check(dataset, kept)

    def _check(self, dataset: Dataset, kept: list[Patch]) -> None:
        """Drop the cells of FOVs that have been segmented or tracked again."""
        session = self._bench.session

        def work(_job: Job) -> list[Patch]:
            tracks = _tracks(dataset, {patch.fov_name for patch in kept})
            return [patch for patch in kept if tracks[patch.fov_name] == patch.made_on]

        def done(left: list[Patch]) -> None:
            now = _KEPT.get(session)
            if len(left) == len(kept) or now is None or now[1] is not kept:
                return  # all are there, or others have been chosen since
            _KEPT[session] = (dataset, left)
            session.say(f"{len(kept) - len(left)} cells of the queue are no more: fill it again")
            if isalive(self) and self.isVisible():
                self.synchronise()

        self._bench.runner.start("check the review queue", work, done)

    def step(self, step: int) -> None:
        """Show the next cell of the queue in the viewer, or the one before."""
        if not self.gallery.patches:
            self._bench.session.say("the queue is empty: fill it first")
        elif self.gallery.step(step):
            patch = self.gallery.patches[self.gallery.current]
            self._bench.go_to(patch.fov_name, patch.id)
        else:
            self._bench.session.say(f"this is the {'last' if step > 0 else 'first'} of the queue")

    def _tell(self, place: int) -> None:
        patches = self.gallery.patches
        count = len(patches)
        text = f"{count} cells to review"
        if 0 <= place < count:
            text = f"{place + 1} of {count}: {patches[place].tip.splitlines()[-1]}"
        self.heading.setText(text)
        self.heading.setToolTip(patches[place].tip if 0 <= place < count else "")


def _tracks(dataset: Dataset, fov_names: set[str]) -> dict[str, str]:
    """Key of the tracks of each FOV; empty where there are none that are up to date."""
    workspace, fovs = dataset.workspace, {name: dataset[name] for name in fov_names}
    return {
        name: "" if workspace.outdated("tracks", fov) else workspace.key("tracks", fov) or ""
        for name, fov in fovs.items()
    }


def _patches(table: pd.DataFrame, tracks: Mapping[str, str]) -> list[Patch]:
    """Cells of a table of :data:`~napari_dynaclr.annotation.queue.REVIEW_COLUMNS`."""
    columns = ("fov_name", "track_id", "t", "id", "z", "y", "x", "predicted", "reason", "score")
    return [
        Patch(
            str(name),
            int(node),
            Place(str(name), int(t), float(z), float(y), float(x)),
            tracks[name],
            f"{name}, track {track}, t={t} (score {score:.2f})\n{reason}",
            predicted,
        )
        for name, track, t, node, z, y, x, predicted, reason, score in zip(
            *(table[column] for column in columns), strict=True
        )
    ]
