from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr import Job, evaluate, open_dataset, params
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.evaluation import stain_robustness
from napari_dynaclr.evaluation.stain_run import last_stain

NUCLEI, MEMBRANE = "nuclei_prediction", "membrane_prediction"


class Copier:
    """A stainer that sees the nuclei, and gives them back."""

    def __init__(self, source, times=1):
        self.prepared = SimpleNamespace(source=SimpleNamespace(channels=(source,)))
        self.channels = (NUCLEI, MEMBRANE)[:times]
        self.shapes = []

    def stain_frame(self, fov, t, frame, job):
        self.shapes.append(frame.shape)
        return np.concatenate([frame] * len(self.channels)).astype(np.float32)


@pytest.fixture
def copier(monkeypatch):
    """Let evaluations find a run with a stainer."""

    def use(stainer):
        @contextmanager
        def open_stainer(dataset, settings, job):
            yield stainer

        method = SimpleNamespace(load=lambda: SimpleNamespace(open_stainer=open_stainer))
        monkeypatch.setattr(stain_robustness, "last_stain", lambda _: (method, None))
        return stainer

    return use


def curve(table, kind, channel=NUCLEI):
    rows = table[(table["perturbation"] == kind) & (table["virtual"] == channel)]
    return rows.set_index("level")


def test_what_is_seen_right_stays_right_at_any_magnification_and_is_lost_in_noise(
    dataset, copier, truth, figures
):
    stainer = copier(Copier("Nuclei"))
    dataset = dataset.select(["A/1/0", "B/1/0"])
    settings = {"blur": [6], "noise": [4], "contrast": [0.6], "magnification": [0.5, 2]}
    table = evaluate(dataset, params("evaluate", "stain-robustness", **settings, truth=str(truth)))
    assert (table["frames"] == 4).all(), "two time points of two FOVs"
    assert (table["against"] == "Nuclei").all()
    kinds = ["blur", "noise", "contrast", "magnification"]
    for kind, neutral in zip(kinds, (0, 0, 1, 1), strict=True):
        found = curve(table, kind).loc[neutral]
        assert found["pcc"] == pytest.approx(1)
        assert found["ap50"] > 0.9
    assert len(stainer.shapes) == 4 * (1 + 5), "what nothing is done to is stained once"
    size = curve(table, "magnification")
    assert size.loc[[0.5, 2], "pcc"].tolist() == pytest.approx([1, 1], abs=1e-3)
    assert size.loc[[0.5, 2], "ap50"].min() > 0.8
    assert size.loc[2, "true_cells"] < 0.6 * size.loc[1, "true_cells"]
    assert {shape[2:] for shape in stainer.shapes} == {(192, 192), (96, 96)}
    noise = curve(table, "noise")
    assert noise.loc[4, "pcc"] == pytest.approx(1 / np.sqrt(1 + 16), abs=0.02)
    assert noise.loc[4, "ap50"] < 0.5 * noise.loc[0, "ap50"]
    assert curve(table, "blur").loc[6, "ap"] < curve(table, "blur").loc[0, "ap"]
    assert curve(table, "contrast").loc[0.6, "pcc"] < 1
    file = dataset.workspace.evaluation("stain-robustness")
    assert pd.read_csv(file)["pcc"].tolist() == pytest.approx(table["pcc"].tolist())
    for name in ("stain-robustness", "stain-robustness-images"):
        assert file.with_name(f"{name}.png").stat().st_size > 5000
    curves, images = figures
    assert len(curves.axes) == 4
    assert [label.get_text() for label in images.axes[0].get_yticklabels()] == kinds


def test_without_anything_to_compare_with_it_is_the_untouched_stain(make_plate, copier):
    rng = np.random.default_rng(0)
    movie = rng.integers(0, 999, (1, 1, 1, 64, 64)).astype(np.uint16)
    dataset = open_dataset(make_plate("movie.zarr", {"A/1/0": movie}, ("Phase",)))
    copier(Copier("Phase", times=2))
    job = Job()
    settings = {"blur": [3], "noise": [0.5], "contrast": [], "magnification": [], "diameter": 8}
    table = evaluate(dataset, params("evaluate", "stain-robustness", **settings), job)
    assert set(table["against"]) == {"untouched image"}
    assert any("neither an experimental stain nor a truth" in note for note in job.notes)
    assert curve(table, "contrast").index.tolist() == [1]
    for channel in (NUCLEI, MEMBRANE):
        assert curve(table, "blur", channel).loc[0, "pcc"] == pytest.approx(1)
        assert curve(table, "noise", channel).loc[0.5, "pcc"] == pytest.approx(
            1 / 1.25**0.5, abs=0.02
        )
    assert curve(table, "blur").loc[0, "ap"] == 1
    assert curve(table, "blur", MEMBRANE)["ap"].isna().all()


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"contrast": [0.0]}, "contrast = 0: choose levels from 0.05 to 100"),
        ({"blur": [-1.0]}, "blur = -1: choose levels from 0 to 100"),
    ],
)
def test_levels_that_mean_nothing_are_one_line(dataset, settings, line):
    with pytest.raises(InvalidInput, match=line):
        evaluate(dataset, params("evaluate", "stain-robustness", **settings))


def test_blank_images_are_left_out_and_nothing_else_is_one_line(make_plate, copier):
    rng = np.random.default_rng(0)
    movie = rng.integers(0, 999, (4, 1, 1, 64, 64)).astype(np.uint16)
    movie[1] = 0
    dataset = open_dataset(make_plate("movie.zarr", {"A/1/0": movie}, ("Phase",)))
    copier(Copier("Phase"))
    table = evaluate(dataset, params("evaluate", "stain-robustness"))
    assert (table["frames"] == 1).all(), "of time points 1 and 3"
    blank = open_dataset(make_plate("blank.zarr", {"A/1/0": 0 * movie}, ("Phase",)))
    with pytest.raises(InvalidInput, match="are blank"):
        evaluate(blank, params("evaluate", "stain-robustness"))


def test_the_last_run_that_a_stain_came_of_says_how_a_dataset_was_stained(dataset):
    pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    workspace = dataset.workspace
    workspace.prepare(dataset.channels)

    def run(weights, started, ended, status="failed", stage="stain"):
        settings = {"preset": "none", "weights": weights}
        method = {"stain": "cytoland", "segment": "threshold"}[stage]
        about = {"stage": stage, "method": method, "status": status, "params": settings}
        workspace.record({**about, "started": started, "ended": ended})

    long_ago, late = "2001-01-01T00:00:00+00:00", "2101-01-01T00:00:00+00:00"
    run("a", long_ago, long_ago, "finished")
    with pytest.raises(MissingInput, match="run 'stain' first"):
        last_stain(dataset)
    workspace.mark_complete("stain", dataset.fovs[0], "key")
    # One that could not read some frames is recorded as failed, and has stained all others.
    run("b", long_ago, late)
    run("c", late, late)
    run("d", long_ago, late, "finished", "segment")
    method, settings = last_stain(dataset)
    assert (method.stage, method.name) == ("stain", "cytoland")
    assert settings.weights == "b"
