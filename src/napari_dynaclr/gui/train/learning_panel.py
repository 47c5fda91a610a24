"""The curves and pictures of a training while it runs, and of the last one when nothing does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_dynaclr.core.registry import methods
from napari_dynaclr.gui.charts.charts import Chart
from napari_dynaclr.gui.charts.ink import ink_of
from napari_dynaclr.gui.charts.learning import draw_learning
from napari_dynaclr.gui.docks import bring_up
from napari_dynaclr.gui.latest import Latest
from napari_dynaclr.gui.steps.progress import duration
from napari_dynaclr.gui.train.preview import Preview
from napari_dynaclr.gui.view import View
from napari_dynaclr.session.training import Kind, Training, kind_of, last_run, read_figures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure
    from napari import Viewer

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.gui.charts.drawings import Ink

NOTHING = "No training yet. Its curves appear here while it runs."

_EVERY = 400
"""Milliseconds between drawings: a small network has several epochs in a second."""

_LOSS = {
    "dynaclr": "how badly pairs are told from other cells",
    "staining": "how far the virtual stain is from the experimental one",
    "fcmae": "how badly what is hidden of an image is filled in",
    "cellect": "how badly cells are found, told apart and linked",
    "tap": "how badly it is told which of two frames was the earlier one",
    "profiler": "how badly views of the same well are told from others",
}
"""What is to become small, by the method of training."""

_TIPS = {
    "loss": "<b>Loss</b>: {}. On what is not learned from (validation) it should fall, too; the "
    "network is kept as it was where that was lowest (ring).",
    "pcc": "<b>PCC</b>: Pearson's correlation of virtual and experimental stain, on what is not "
    "learned from. 1 is perfect.",
    "centre_f1": "<b>Centres</b>: F1 of the cells that are found, on what is not learned from. 1 "
    "is perfect.",
    "link_accuracy": "<b>Links</b>: part of the cells whose best candidate in the next frame, or "
    "none, is right. 1 is perfect.",
    "accuracy": "<b>Right order</b>: part of the pairs of frames whose order is told, by what is "
    "seen there. 0.5 (broken line) is chance: that is right for the background and for what stands "
    "still, while divisions should come near 1.",
    "dino": "<b>Parts</b> of the loss: how differently student and teacher describe views of the "
    "same site, of another site of the same well, small views, and what is hidden of a view.",
    "koleo": "<b>KoLeo</b>: how far the descriptions are from being spread evenly.",
    "smoothness": "<b>Smoothness</b>: how far a cell moves through the embedding in a frame, "
    "compared with any two times of its track. Lower is smoother.",
    "dynamic_range": "<b>Dynamic range</b>: by how much the one is less than the other. Higher is "
    "better.",
    "spread": "<b>Spread</b>: 1 where the descriptions point all ways, 0 where they are all the "
    "same. A fall towards 0 means that the network collapses.",
    "rank": "<b>Rank</b>: how many dimensions the embedding makes use of. A fall towards 1 means "
    "that it collapses.",
}

_PICTURES = """<qt>What the network makes, after the last epoch, of a patch that it does not learn
from.</qt>"""

_TEXTS = {
    "loss": "loss {:.3f}",
    "validation_loss": "validation {:.3f}",
    "pcc": "PCC {:.3f}",
    "centre_f1": "centres {:.3f}",
    "link_accuracy": "links {:.3f}",
    "accuracy": "right order {:.3f}",
    "accuracy_division": "divisions {:.3f}",
    "accuracy_interphase": "other cells {:.3f}",
    "accuracy_background": "background {:.3f}",
    "dino": "same site {:.3f}",
    "aggregation": "another site {:.3f}",
    "ibot": "hidden parts {:.3f}",
    "koleo": "KoLeo {:.3f}",
    "spread": "spread {:.3f}",
    "smoothness": "smoothness {:.3f}",
    "dynamic_range": "dynamic range {:.3f}",
    "rank": "rank {:.1f}",
}


class _Next(NamedTuple):
    """What can be done with a network next."""

    text: str
    tip: str


_NEXT = {
    Kind.ENCODER: _Next("Embed with it", "Fill in the form of Embed and project for this encoder."),
    Kind.STAINER: _Next("Stain with it", "Fill in the form of Virtual staining for this stainer."),
    Kind.PRETRAINED: _Next(
        "Fine-tune from it", "Fill in the form above for training a stainer that starts from this."
    ),
    Kind.ARROW: _Next("Look for events", "Fill in the form of Time arrow for this network."),
    Kind.PROFILER: _Next("Profile with it", "Fill in the form of Profiles for this network."),
    Kind.TRACKER: _Next("Track with it", "Fill in the form of Segment and track for this tracker."),
}


@dataclass(frozen=True)
class _Left:
    """What the last training has left on disk."""

    name: str = ""
    method: str = ""
    table: pd.DataFrame | None = None
    network: Path | None = None
    kind: Kind = Kind.ENCODER


class LearningPanel(View):
    """What a training measures and shows, epoch by epoch; then where its network is.

    Parameters
    ----------
    viewer
        The viewer.
    parent
        Its parent in Qt.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self._viewer = viewer
        self._left = _Left()
        self._reads = Latest(self.bench.runner, self, "curve")
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_EVERY)
        self._soon.timeout.connect(self._draw)
        self._drawing = False
        self._behind = False
        self.title, self.values, self.made = QLabel(), QLabel(), QLabel()
        for label in (self.title, self.values, self.made):
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.chart = Chart(self.bench.runner, 380)
        self.preview = Preview()
        self.preview.setToolTip(_PICTURES)
        self.use_button = QPushButton()
        below = QHBoxLayout()
        below.addWidget(self.made, 1)
        below.addWidget(self.use_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.title)
        layout.addWidget(self.chart)
        layout.addWidget(self.values)
        layout.addWidget(self.preview)
        layout.addLayout(below)
        self.chart.drawn.connect(self._drawn)
        self.use_button.clicked.connect(self.use)

    # -- following --------------------------------------------------------

    def connections(self) -> list[tuple[Any, Callable[..., Any]]]:
        """Follow the training, the dataset, what is written, and the theme."""
        return [
            (self.session.dataset_changed, self._dataset_changed),
            (self.session.training_changed, self._training_changed),
            (self.session.results_changed, self._results_changed),
            (self._viewer.events.theme, self._paint),
        ]

    def synchronise(self) -> None:
        """Show the training that is running, or else the last one."""
        self._drawing = False
        self._paint()
        if self.training is not None:
            self._take(self._left)
        self._read()

    def _paint(self, _event: object = None) -> None:
        self.chart.set_ink(ink_of(self._viewer))

    def _dataset_changed(self) -> None:
        self._take(_Left())
        self._read()

    def _results_changed(self, stage: str) -> None:
        if stage == "train":
            self._read()

    def _training_changed(self) -> None:
        self._tell()
        if self._drawing:
            self._behind = True  # the newest epoch is drawn next, and those between are not
        elif not self._soon.isActive():
            self._soon.start()

    @property
    def training(self) -> Training | None:
        """The training of this dataset that runs, or has run since the viewer was opened."""
        training, dataset = self.session.training, self.session.dataset
        if training is None or dataset is None or training.workspace != dataset.workspace.path:
            return None
        return training

    @property
    def is_running(self) -> bool:
        """Whether it runs now."""
        run = self.bench.runner.stage
        return self.training is not None and run is not None and run.title == "train"

    def _read(self) -> None:
        """Look for what the last training has left."""
        dataset, training = self.session.dataset, self.training
        if dataset is None:
            return
        workspace, live = dataset.workspace, training is not None and bool(training.figures)

        def work(_job: Job) -> _Left:
            name, finished, method = last_run(workspace)
            if training is not None:
                name = training.name
            if not name:
                return _Left()
            file, kind = workspace.trained(name), Kind.UNKNOWN
            there = finished and file.exists()
            if there:
                kind = kind_of(file)
            return _Left(
                name,
                method,
                None if live else read_figures(workspace, name),
                file if there else None,
                kind if kind in _NEXT else Kind.ENCODER,
            )

        self._reads.start("read the training", work, self._take)

    def _take(self, left: _Left) -> None:
        self._left = left
        self._tell()
        self._draw()

    # -- showing ----------------------------------------------------------

    def _tell(self) -> None:
        """Say in words how far the training is, and what came of it."""
        training, left, running = self.training, self._left, self.is_running
        epoch, values = self._newest()
        name = training.name if training is not None else left.name
        of = f" of {training.epochs}" if training is not None and training.epochs else ""
        at = f": epoch {epoch}{of}" if epoch else ""
        self.title.setText(f"<b>{name}</b>{at}" if name and (epoch or running) else NOTHING)
        told = [
            text.format(values[one])
            for one, text in _TEXTS.items()
            if one in values and np.isfinite(values[one])
        ]
        if "seconds" in values:
            told.append(f"after {duration(values['seconds'])}")
        self.values.setText(" · ".join(told))
        self.values.setVisible(bool(told))
        self.chart.setVisible(bool(epoch))
        self._tell_tips(training.method if training is not None else left.method, values)
        there = left.network is not None and not running
        if left.network is not None:
            kind = left.kind.value
            self.made.setText(f"{kind[0].upper()}{kind[1:]}: {'/'.join(left.network.parts[-3:])}")
            self.made.setToolTip(str(left.network))
            self.use_button.setText(_NEXT[left.kind].text)
            self.use_button.setToolTip(_NEXT[left.kind].tip)
        self.made.setVisible(there)
        self.use_button.setVisible(there)

    def _tell_tips(self, method: str, values: Mapping[str, float]) -> None:
        """Explain what is drawn, and nothing else."""
        loss = _LOSS.get(method, "how badly it does what it learns")
        tips = [
            tip.format(loss)
            for name, tip in _TIPS.items()
            if name in values and np.isfinite(values[name])
        ]
        self.chart.setToolTip(f"<qt>{'<br>'.join(tips)}</qt>" if tips else "")

    def _newest(self) -> tuple[int, Mapping[str, float]]:
        """Return the last epoch, 0 if there is none, and its figures."""
        training, table = self.training, self._left.table
        if training is not None and training.figures:
            return training.figures[-1].epoch, training.figures[-1].values
        if table is not None and not self.is_running:
            row = table.iloc[-1]
            return int(row["epoch"]), {str(one): float(row[one]) for one in table.columns}
        return 0, {}

    def _draw(self) -> None:
        training, table = self.training, self._left.table
        self._behind = False
        drawing: Callable[[Figure, Ink], None] | None = None
        if training is not None and training.figures:
            drawing = partial(_draw_training, training=training)
        elif table is not None and not self.is_running:
            drawing = partial(draw_learning, table=table)
        self._drawing = drawing is not None and self.chart.isVisible()
        self.chart.show_drawing(drawing)
        self.preview.show_pictures(training.pictures if training is not None else {})

    def _drawn(self) -> None:
        self._drawing = False
        if self._behind:
            self._soon.start()

    # -- what comes next --------------------------------------------------

    def use(self) -> None:
        """Have the form of what comes next filled in for the network, and show it."""
        network = self._left.network
        if network is None:
            return
        if self._left.kind is Kind.STAINER:
            # The rest of its recipe is in the file.
            rest = {"channel": "", "normalization": "auto", "statistics": "auto"}
            self.bench.propose(
                "stain", method="cytoland", preset="none", weights=str(network), **rest
            )
            bring_up(self._viewer, "Virtual staining")
        elif self._left.kind is Kind.PRETRAINED:
            self.bench.propose("train", method="staining", start_from=str(network))
        elif self._left.kind is Kind.TRACKER:
            self.bench.propose("track", method="cellect", preset="none", weights=str(network))
            bring_up(self._viewer, "Segment and track", "track")
        elif self._left.kind is Kind.ARROW:
            # Channel and frames of a pair are in the file.
            self.bench.propose(
                "find", method="tap", preset="none", weights=str(network), channel="", delta_t=None
            )
            bring_up(self._viewer, "Time arrow")
        elif self._left.kind is Kind.PROFILER:
            self.bench.propose("profile", method="fields", weights=str(network), channels=())
            bring_up(self._viewer, "Profiles", "profile")
        else:
            self._embed(network)

    def _embed(self, encoder: Path) -> None:
        taken = encoder.stem in {method.name for method in methods("embed")}
        self.bench.propose(
            "embed",
            method="dynaclr",
            preset="none",
            weights=str(encoder),
            name=f"{encoder.stem}_encoder" if taken else encoder.stem,
            channels=(),
            normalization=(),
            patch_size=None,
            depth=None,
            z_start=None,
        )
        bring_up(self._viewer, "Embed and project", "embed")


def _draw_training(figure: Figure, ink: Ink, training: Training) -> None:
    draw_learning(figure, ink, training.table())
