from __future__ import annotations

import threading
import time

import numpy as np
import pandas as pd
import pytest
from commands import run
from matplotlib.figure import Figure

from napari_dynaclr import Job, compare, open_dataset, params
from napari_dynaclr.comparison.params import ENCODERS, SHARED, TABLE_4
from napari_dynaclr.core.errors import Cancelled, InvalidInput, MissingInput
from napari_dynaclr.core.registry import find_method

QUICK = {"encoders": ("time-aware-nt-xent", "classical-triplet"), "baselines": ("features",),
         "channels": ("Phase", "Sensor"), "patch_size": 32, "draws": 2}  # fmt: skip


def test_table_4_is_the_default_and_cell_aware_nt_xent_there_to_choose():
    given = params("compare")
    assert given.encoders == TABLE_4
    assert set(ENCODERS) - set(TABLE_4) == {"cell-aware-nt-xent"}
    assert params("compare", baselines=("none",)).baselines == ()
    with pytest.raises(InvalidInput, match="there is no 'time-aware'"):
        params("compare", encoders=("time-aware",))


def test_what_is_shared_is_described_as_the_training_describes_it():
    training = find_method("train", "dynaclr").params_class().model_fields
    ours = find_method("compare").params_class().model_fields
    for name in SHARED:
        if name not in ("channels", "patch_size"):
            assert ours[name].description == training[name].description
            assert ours[name].default == training[name].default


def test_encoders_and_features_beside_each_other(processed, truth, untrained, monkeypatch):
    drawn = []
    original = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: drawn.append(self) or original(self, *a, **k)
    )
    home = processed.workspace.path
    kept = ["annotations.jsonl", "predictions/infection.csv", "classifiers/infection.skops"]
    before = {name: (home / name).read_bytes() for name in kept}
    job = Job()
    table = compare(processed, params("compare", truth=str(truth), epochs=7, **QUICK), job)

    assert table["embedding"].tolist() == ["time-aware-nt-xent", "classical-triplet", "features"]
    assert table["experiment"].tolist() == [
        "Time-aware + NT-Xent", "Classical + triplet", "Engineered features"
    ]  # fmt: skip
    assert table["dimensions"].tolist() == [192, 192, 83]
    assert table["f1"].between(0, 1).all()
    assert table["f1"].iloc[2] > 0.85
    assert (table["smoothness"] > 0).all()
    assert {name: (home / name).read_bytes() for name in kept} == before, "the user's own"

    ways = [(one.strategy, one.loss, one.epochs, one.patch_size) for one, _ in untrained]
    assert ways == [("time-aware", "nt-xent", 7, 32), ("classical", "triplet", 7, 32)]
    assert {tuple(fovs) for _, fovs in untrained} == {("A/1/0", "A/1/1", "B/1/0")}

    file = processed.workspace.evaluation("comparison")
    pd.testing.assert_frame_equal(pd.read_csv(file), table)
    text = file.with_suffix(".md").read_text(encoding="utf-8")
    assert "| Time-aware + NT-Xent |" in text
    assert "B/1, which neither encoders nor classifiers have seen" in text
    assert "trained on 3 of 4 FOVs for 7 epochs" in text
    assert f"The table is in {file.with_suffix('.md')}" in job.notes[-1]
    assert len(set(job.notes)) == len(job.notes)

    for name in ("states", "time"):
        assert file.with_name(f"comparison-{name}.png").stat().st_size > 10_000
    by_state, by_time = drawn
    cells = len(processed.workspace.tracks(processed["B/1/1"]))
    for figure in (by_state, by_time):
        panels = [axes for axes in figure.axes if axes.get_title()]
        assert [axes.get_title() for axes in panels] == table["experiment"].tolist()
        assert {len(axes.collections[0].get_offsets()) for axes in panels} == {cells}
        assert {len(axes.lines) for axes in panels} == {2}, "a track of each state"
    assert by_time.axes[0].collections[0].get_array().max() == 4.5, "hours"
    (run,) = [run for run in processed.workspace.runs() if run["stage"] == "compare"]
    assert run["status"] == "finished"


def test_a_second_run_embeds_nothing_again(processed, truth, untrained):
    given = params("compare", truth=str(truth), **QUICK)
    first = compare(processed, given)
    home = processed.workspace.path
    written = {p: p.stat().st_mtime_ns for p in (home / "embeddings").rglob("*") if p.is_file()}
    again = compare(open_dataset(processed.root, home), given)
    pd.testing.assert_frame_equal(first, again)
    assert written == {p: p.stat().st_mtime_ns for p in written}


def test_features_of_the_users_own_settings_are_taken_as_they_are(processed, truth):
    from napari_dynaclr import embed

    embed(processed, params("embed", "features", channels=("Phase", "Sensor")))
    given = params("compare", encoders=(), baselines=("features",), truth=str(truth), draws=1)
    pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    table = compare(processed, given)
    (run,) = [run for run in processed.workspace.runs() if run["stage"] == "embed"][-1:]
    assert run["params"]["channels"] == ["Phase", "Sensor"]
    assert table["dimensions"].item() < 83


def test_imagenet_is_left_out_where_its_weights_cannot_be_had(processed, untrained, monkeypatch):
    from napari_dynaclr.comparison import candidates

    def refuse(*_args):
        raise InvalidInput("ConvNeXt cannot be downloaded: no connection.")

    monkeypatch.setattr(candidates, "get_weights", refuse)
    job = Job()
    given = {**QUICK, "encoders": QUICK["encoders"][:1], "baselines": ("imagenet",)}
    table = compare(processed, params("compare", **given), job)
    assert table["embedding"].tolist() == ["time-aware-nt-xent"]
    said = "ImageNet is left out: ConvNeXt cannot be downloaded: no connection."
    assert said in job.notes
    assert said in processed.workspace.evaluation("comparison").with_suffix(".md").read_text(
        "utf-8"
    )
    with pytest.raises(InvalidInput, match=r"nowhere\.pth"):
        compare(processed, params("compare", **given, imagenet_weights="nowhere.pth"))
    with pytest.raises(InvalidInput, match="There is nothing to compare"):
        compare(processed, params("compare", encoders=(), baselines=("imagenet",)))


def test_imagenet_takes_a_file_and_the_last_channel(processed, untrained, tmp_path):
    import timm
    import torch

    file = tmp_path / "convnext.pth"
    torch.save(timm.create_model("convnext_tiny").state_dict(), file)
    given = {**QUICK, "encoders": (), "baselines": ("imagenet",), "imagenet_weights": str(file)}
    table = compare(processed.select(["B/1/0"]), params("compare", **given))
    assert table["experiment"].item() == "ImageNet pretrained (Sensor)"
    assert table["dimensions"].item() == 768


def test_without_tracks_it_names_the_stage_to_run(dataset, untrained):
    with pytest.raises(MissingInput, match="run 'track' first"):
        compare(dataset, params("compare", **QUICK))


@pytest.mark.parametrize("at", ["compare", "read embedding", "PHATE"])
def test_cancelled_anywhere_it_stops_within_two_seconds(processed, truth, untrained, at):
    asked = []

    def cancel(progress):
        if progress.text == at and not asked:
            asked.append(time.monotonic())
            # A little later, in the midst of it.
            threading.Timer(0.05, job.cancel).start()

    job = Job(cancel)
    with pytest.raises(Cancelled):
        compare(processed, params("compare", truth=str(truth), **QUICK), job)
    assert time.monotonic() - asked[0] < 2
    assert not processed.workspace.evaluation("comparison").exists()
    assert processed.workspace.runs()[-1]["status"] == "cancelled"


def test_maps_of_fovs_by_themselves_are_made_anew_together(processed):
    from napari_dynaclr import project
    from napari_dynaclr.comparison.maps import make_map, read_map

    both = processed.select(["B/1"])
    for name in both.fov_names:
        project(both.select([name]), params("project", "phate"))
    alone = read_map(both, "features")
    make_map(both, "features", Job())
    together = read_map(both, "features")
    assert not np.allclose(alone[["x", "y"]], together[["x", "y"]])
    runs = len(both.workspace.runs())
    make_map(both, "features", Job())
    assert len(both.workspace.runs()) == runs, "there it is"


def test_the_command_shows_the_table_and_says_where_it_is(plate, processed, truth, untrained):
    home = processed.workspace.path
    ran = run(
        "compare", plate, "--workspace", home, "--truth", truth, "--draws", 2, "--patch-size", 32,
        "--encoders", "classical-nt-xent", "--baselines", "none", "--channels", "Sensor",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "Classical + NT-Xent" in ran.out
    assert "smoothness" in ran.out
    assert ran.out.endswith(f"compare: results in {home}\n")
    assert "comparison.md, maps beside it as PNG." in " ".join(ran.err.split())
    ((asked, _),) = untrained
    assert asked.channels == ("Sensor",)


@pytest.mark.slow
def test_encoders_that_are_really_trained(processed, truth):
    """From images to the table, and once more without training anything again."""
    for package in ("torch", "timm", "lightning", "monai", "tensorboard"):
        pytest.importorskip(package, reason="the extra 'torch' is not installed")
    given = params("compare", truth=str(truth), name="tiny", epochs=2, **QUICK)
    job = Job()
    table = compare(processed, given, job)
    workspace = processed.workspace
    assert table["embedding"].tolist() == [
        "tiny-time-aware-nt-xent", "tiny-classical-triplet", "features"
    ]  # fmt: skip
    assert table[["f1", "smoothness", "dynamic_range"]].notna().all(axis=None)
    for name in table["embedding"][:2]:
        figures = pd.read_csv(workspace.trained(name).with_suffix("") / "metrics.csv")
        assert len(figures) == 2
    weights = {name: workspace.trained(name).read_bytes() for name in table["embedding"][:2]}
    again = compare(open_dataset(processed.root, workspace.path), given)
    pd.testing.assert_frame_equal(table, again)
    assert weights == {name: workspace.trained(name).read_bytes() for name in weights}
    assert workspace.evaluation("comparison-tiny").exists()
    other = params("compare", truth=str(truth), name="tiny", epochs=3, **QUICK)
    with pytest.raises(InvalidInput, match="'tiny-time-aware-nt-xent' already, of other settings"):
        compare(processed, other)
