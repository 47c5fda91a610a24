"""Bad input, from the command line: one clear line, exit code 2, nothing half-written or lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from commands import digest, refused, run, strays, succeed

if TYPE_CHECKING:
    from pathlib import Path

CLICKS = "fov_name,t,y,x,state\n"


@pytest.fixture
def plate_copy(plate: Path, tmp_path: Path) -> Path:
    """A copy of the plate that the test may damage."""
    shutil.copytree(plate, tmp_path / "plate.zarr")
    return tmp_path / "plate.zarr"


@pytest.fixture
def workspace(processed) -> Path:
    """Every stage done, in a folder of the test's own."""
    return processed.workspace.path


@pytest.fixture
def untouched(workspace: Path):
    """Check after the test that no earlier result was lost, and none half-written."""
    before = digest(workspace)
    yield
    after = digest(workspace)
    assert {name: after.get(name) for name in before} == before
    assert set(after) - set(before) <= {"annotations.jsonl"}
    assert strays(workspace) in ([], [".partial"])


def edit_json(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


# -- the dataset -----------------------------------------------------------------


def test_a_missing_path(tmp_path):
    said = refused("segment", tmp_path / "nowhere.zarr")
    assert said == f"{tmp_path / 'nowhere.zarr'} does not exist: check the path."
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_zarr(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "movie.tif").write_bytes(b"II*\0")
    for name in ("folder", "movie.tif"):
        said = refused("segment", tmp_path / name)
        assert "is not an OME-Zarr dataset" in said
        assert "napari-dynaclr convert" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "movie.tif"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_zarr_without_ome_metadata(tmp_path, zarr_format):
    zarr.create_array(tmp_path / "a.zarr", shape=(4, 4), dtype="u1", zarr_format=zarr_format)
    assert "bare Zarr array without OME metadata" in refused("segment", tmp_path / "a.zarr")
    zarr.open_group(tmp_path / "g.zarr", mode="w", zarr_format=zarr_format)
    said = refused("segment", tmp_path / "g.zarr")
    assert "without OME-Zarr metadata" in said
    assert "choose the folder of the plate" in said


@pytest.mark.parametrize("command", ["segment", "info"])
def test_wrong_axes(plate_copy, command):
    for file in plate_copy.glob("*/*/*/zarr.json"):
        edit_json(file, lambda c: c["attributes"]["ome"]["multiscales"][0]["axes"].reverse())
    said = refused(command, plate_copy)
    assert "has axes 'xyzct'" in said
    assert "expected some of 'tczyx' in this order" in said


def test_a_plate_without_fovs(plate_copy):
    edit_json(plate_copy / "zarr.json", lambda c: c["attributes"]["ome"]["plate"].update(wells=[]))
    assert "has no FOV in it: choose another dataset" in refused("segment", plate_copy)
    assert "0 in 0 wells" in succeed("info", plate_copy).out
    assert not plate_copy.with_name("plate.dynaclr").exists()


def test_an_image_of_size_zero(plate_copy):
    edit_json(plate_copy / "A/1/0/0/zarr.json", lambda c: c["shape"].__setitem__(0, 0))
    said = refused("segment", plate_copy)
    assert "FOV A/1/0" in said
    assert "is empty: its shape is (0, 4, 1, 192, 192)" in said


def test_an_unknown_channel(plate, workspace, untouched):
    for args in (["segment", plate, "--channel", "GFP"], ["embed", plate, "--channels", "GFP"]):
        said = refused(*args, "--workspace", workspace)
        assert "has no channel 'GFP': choose one of Phase, Nuclei, Membrane, Sensor" in said


def test_a_fov_that_matches_nothing(plate, workspace, untouched):
    said = refused("track", plate, "--workspace", workspace, "--fov", "C/*")
    assert said == "plate.zarr has no FOV 'C/*': there are A/1/0, A/1/1, B/1/0, B/1/1."


# -- pixels ------------------------------------------------------------------------


def test_a_time_point_of_zeros(plate_copy, tmp_path):
    shutil.rmtree(next(plate_copy.glob("A/1/1/0/c/4/1")))  # zarr fills with zeros
    said = refused("segment", plate_copy)
    assert said == (
        "FOV A/1/1, channel Nuclei, time point 4 holds nothing but zeros: restore the frame, or "
        "pass over it (--empty-frames skip)."
    )
    home = tmp_path / "plate.dynaclr"
    # What was finished before is there; of the bad FOV, nothing.
    assert (home / "segmentation.zarr/A/1/0/cells.csv").exists()
    assert not (home / "segmentation.zarr/A/1/1").exists()
    assert strays(home) == [".partial"]
    assert succeed("segment", plate_copy, "--empty-frames", "skip").out


def test_a_time_point_of_nan(make_plate):
    images = np.ones((3, 1, 1, 32, 32), np.float32)
    images[0:2, ..., 8:20, 8:20] = 9
    images[2] = np.nan
    said = refused("segment", make_plate("nan.zarr", {"A/1/0": images}))
    assert said.startswith("FOV A/1/0, channel Nuclei, time point 2 holds nothing but NaN: ")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_a_truncated_chunk(make_plate, version, keep):
    images = np.random.default_rng(0).integers(1, 999, (3, 1, 1, 64, 64)).astype(np.uint16)
    plate = make_plate("cut.zarr", {"A/1/0": images}, version=version)
    chunk = plate / ("A/1/0/0/1/0/0/0/0" if version == "0.4" else "A/1/0/0/c/1/0/0/0/0")
    chunk.write_bytes(chunk.read_bytes()[: int(chunk.stat().st_size * keep)])
    said = refused("segment", plate)
    assert said.startswith("Cannot read FOV A/1/0, time point 1, channel Nuclei: ")
    assert said.endswith("Restore it from the original data.")


def test_a_missing_image_array(plate_copy):
    shutil.rmtree(plate_copy / "A/1/1/0")
    assert "lacks its image array '0': the dataset is incomplete" in refused("segment", plate_copy)


def test_a_stain_of_a_truncated_chunk(make_plate, tmp_path):
    pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    from napari_dynaclr.staining.architecture import StainerConfig
    from napari_dynaclr.staining.checkpoint import save_stainer
    from napari_dynaclr.staining.network import build

    save_stainer(
        tmp_path / "w.safetensors",
        build(StainerConfig(dims=(8, 16), blocks=(1, 1), decoder_blocks=1)),
        {"normalization": "mean-std"},
    )
    images = np.random.default_rng(0).integers(1, 999, (3, 1, 1, 64, 64)).astype(np.uint16)
    plate = make_plate("cut.zarr", {"A/1/0": images, "A/1/1": images}, channels=("Phase",))
    chunk = plate / "A/1/0/0/1/0/0/0/0"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:100])
    args = ["stain", plate, "--preset", "none", "--weights", tmp_path / "w.safetensors"]
    said = refused(*args)
    assert said.startswith("Cannot read FOV A/1/0, time point 1, channel Phase: ")
    assert said.endswith("All else is stained: run again to stain the rest.")
    home = plate.with_name("cut.dynaclr")
    assert (home / "stain.zarr/A/1/1/stain.csv").exists()
    assert not (home / "stain.zarr/A/1/0").exists()
    chunk.write_bytes(whole)
    assert run(*args).code == 0  # its notes go to stderr
    assert (home / "stain.zarr/A/1/0/stain.csv").exists()


def test_weights_that_do_not_stain(plate, tmp_path):
    pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    (tmp_path / "cat.ckpt").write_text("meow")
    home = tmp_path / "new.dynaclr"
    for args, says in (
        (["--preset", "none"], "none needs a weights file: name it with weights."),
        (["--preset", "none", "--weights", tmp_path / "none.ckpt"], "There is no weights file"),
        (["--weights", tmp_path / "cat.ckpt"], "is no checkpoint: choose a .ckpt or .pt"),
        (["--channel", "GFP"], "has no channel 'GFP' to stain from: choose one of Phase, Nuclei"),
    ):
        assert says in refused("stain", plate, "--workspace", home, *args)


# -- tables ------------------------------------------------------------------------


def tracks_file(workspace: Path) -> Path:
    return workspace / "tracks.zarr/A/1/1/tracks.csv"


TABLES = {
    "no column t": (lambda t: t.drop(columns="t"), "lacks the column t"),
    "NaN": (lambda t: t.assign(y=t["y"].where(t.index != 4)), "in row 5, 'y' is blank"),
    "text": (lambda t: t.assign(t=t["t"].astype(str).replace("3", "three")), "'t' is blank or no"),
    "fraction": (lambda t: t.assign(track_id=t["track_id"] + 0.5), "'track_id' is no whole number"),
    "duplicate": (lambda t: pd.concat([t, t.iloc[[2]]]), "the same track_id and t stand there"),
    "empty": (lambda t: None, "is not a CSV table"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_damaged_tracks_table(plate, workspace, kind):
    damage, says = TABLES[kind]
    file = tracks_file(workspace)
    table = damage(pd.read_csv(file))
    file.write_text("" if table is None else table.to_csv(index=False))
    before = digest(workspace)
    said = refused("embed", plate, "--workspace", workspace, "--radial-bins", 3)
    assert str(file) in said
    assert says in said
    after = digest(workspace)
    # The FOV before is embedded anew; the damaged one and those after keep what they had.
    kept = [name for name in before if "A_1_0" not in name]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert strays(workspace) == [".partial"]


def test_tracks_that_are_gone(plate, workspace, untouched_but_tracks=None):
    tracks_file(workspace).unlink()
    said = refused("embed", plate, "--workspace", workspace, "--radial-bins", 3, "--fov", "A/1/1")
    assert "tracks.csv is no file" in said


def test_a_stage_before_is_missing(plate, tmp_path):
    home = tmp_path / "new.dynaclr"
    for stage, needs in (
        ("track", "No segmented cells found for FOV A/1/0: run 'segment' first."),
        ("embed", "No tracks found for FOV A/1/0: run 'track' first."),
        ("project", "No embedding 'features' found for FOV A/1/0: run 'embed' first."),
        ("classify", "No embedding 'features' found for FOV A/1/0: run 'embed' first."),
    ):
        assert refused(stage, plate, "--workspace", home) == needs


POINTS = {
    "no file": (None, "is no file: check the path of the table of points"),
    "nothing": ("", "is not a CSV table"),
    "no rows": (CLICKS, "holds no points"),
    "no column": ("fov_name,t,y,state\nA/1/0,1,2,infected\n", "lacks the column x"),
    "blank": (CLICKS + "A/1/0,0,,20,infected\n", "in row 1, 'y' is blank or no number"),
    "text": (CLICKS + "A/1/0,0,5,5,infected\nA/1/0,zero,5,5,infected\n", "in row 2, 't' is blank"),
    "no state": (CLICKS + "A/1/0,0,5,5,\n", "in row 1, 'state' is blank"),
    "no such FOV": (CLICKS + "Q/9/9,0,5,5,infected\n", "has no FOV 'Q/9/9'"),
    "after the end": (CLICKS + "A/1/0,99,5,5,infected\n", "t=99, the movie ends at t=9"),
    "far from cells": (CLICKS + "A/1/0,0,9999,5,infected\n", "no cell within 10 um of the point"),
    "typo": (CLICKS + "A/1/0,0,5,5,infectd\n", "'infectd' is no state of infection: did you mean"),
    "capital": (CLICKS + "A/1/0,0,5,5,Infected\n", "did you mean 'infected'?"),
}


@pytest.mark.parametrize("kind", POINTS)
def test_a_bad_table_of_points(plate, workspace, untouched, tmp_path, kind):
    text, says = POINTS[kind]
    if text is not None:
        (tmp_path / "clicks.csv").write_text(text)
    said = refused("annotate", plate, "--workspace", workspace, "--path", tmp_path / "clicks.csv")
    assert says in said


IOHUB = {
    "no file": (lambda t: None, "is no file: check the path of the annotation table"),
    "no states": (lambda t: t.drop(columns="infection_state"), "no column of states"),
    "no column": (lambda t: t.drop(columns="track_id"), "lacks the column track_id"),
    "NaN": (lambda t: t.assign(t=t["t"].where(t.index != 3)), "'t' is blank or no number"),
    "duplicate": (lambda t: pd.concat([t, t.iloc[[1]]]), "stand there twice"),
    "other tracks": (
        lambda t: t.assign(track_id=t["track_id"] + 5000, id=t["id"] + 7),
        "fits a tracked cell",
    ),
    "typo": (
        lambda t: t.replace({"infection_state": {"infected": "infectted"}}),
        "'infectted' is no state of infection: did you mean 'infected'?",
    ),
}


@pytest.mark.parametrize("kind", IOHUB)
def test_a_bad_annotation_table(plate, workspace, untouched, tmp_path, kind):
    damage, says = IOHUB[kind]
    file = tmp_path / "table.csv"
    succeed("export", plate, "annotations", file, "--workspace", workspace)
    table = damage(pd.read_csv(file))
    file.unlink()
    if table is not None:
        table.to_csv(file, index=False)
    said = refused("annotate", plate, "--workspace", workspace, "--method", "iohub", "--path", file)
    assert says in said


def test_states_of_ones_own_are_no_typos(plate, workspace, tmp_path):
    cell = pd.read_csv(tracks_file(workspace)).iloc[0]
    (tmp_path / "own.csv").write_text(f"{CLICKS}A/1/1,{cell.t:g},{cell.y},{cell.x},early\n")
    run_ = succeed("annotate", plate, "--workspace", workspace, "--path", tmp_path / "own.csv")
    assert "41 rows in all" in run_.out
    assert "early" in set(pd.read_csv(workspace / "annotations.csv")["infection_state"])


# -- label images ------------------------------------------------------------------


def test_a_label_image_of_another_shape(plate, workspace, untouched, tmp_path):
    tifffile.imwrite(tmp_path / "A_1_0.tif", np.ones((10, 96, 96), np.uint16))
    said = refused(
        "segment", plate, "--workspace", workspace, "--method", "import", "--path", tmp_path,
        "--fov", "A/1/0",
    )  # fmt: skip
    assert "label image of FOV A/1/0 has shape (10, 96, 96), the FOV has (10, 1, 192, 192)" in said


def test_a_truth_of_another_shape(plate, workspace, untouched, make_plate):
    other = make_plate("other.zarr", {"A/1/0": np.ones((3, 1, 1, 8, 8), np.uint16)})
    said = refused(
        "evaluate", plate, "--workspace", workspace, "--method", "tracking", "--truth", other
    )
    assert "has shape (3, 1, 8, 8), the FOV has (10, 1, 192, 192)" in said


# -- too little to learn from ---------------------------------------------------------


def test_no_annotations(plate, workspace):
    for name in ("annotations.csv", "annotations.jsonl"):
        (workspace / name).unlink()
    before = digest(workspace)
    said = refused("classify", plate, "--workspace", workspace)
    assert "run 'annotate', or click cells in the viewer" in said
    assert digest(workspace) == before


def test_no_annotations_of_the_task(plate, workspace, untouched):
    said = refused("classify", plate, "--workspace", workspace, "--task", "death")
    assert said.startswith("No cell has been annotated for 'death'")
    said = refused("classify", plate, "--workspace", workspace, "--learn-from", "A/1/0")
    assert said.startswith("All ")


def test_one_class_only(plate, workspace):
    journal = workspace / "annotations.jsonl"
    action = json.loads(journal.read_text())
    action["marks"] = [mark for mark in action["marks"] if mark["state"] == "infected"]
    journal.write_text(json.dumps(action) + "\n")
    before = digest(workspace)
    said = refused("classify", plate, "--workspace", workspace)
    assert said == (
        "All 20 annotations of 'infection' say 'infected': annotate cells in another state too."
    )
    assert digest(workspace) == before


def test_fewer_cells_than_neighbours(plate, workspace, untouched):
    for args in (["--knn", 1000], ["--method", "umap", "--neighbors", 1000]):
        said = refused("project", plate, "--workspace", workspace, *args)
        assert "1000 neighbours needs more" in said
        assert "or use --method pca" in said


# -- settings ------------------------------------------------------------------------

SETTINGS = {
    ("--diamter", 3): "No such option: --diamter Did you mean --diameter?",
    ("--method", "threshhold"): "did you mean 'threshold'?",
    ("--diameter", "wide"): "--diameter = 'wide': input should be a valid number.",
    ("--diameter", -1): "--diameter = '-1': input should be greater than 0",
    ("--diameter", "nan"): "diameter = 'nan'",
    ("--min-size", 2): "--min-size = '2': input should be less than or equal to 1",
    ("--empty-frames", "ignore"): "'ignore' is not one of 'error', 'skip'",
    ("--diameter",): "requires an argument",
    ("more",): "unexpected extra argument (more)",
}


@pytest.mark.parametrize("args", SETTINGS)
def test_settings_that_are_not_allowed(plate, workspace, untouched, args):
    said = refused("segment", plate, "--workspace", workspace, *args)
    assert SETTINGS[args] in said


def test_commands_and_arguments_that_are_not_there(plate):
    assert "No such command 'sgment'. Did you mean 'segment'?" in refused("sgment", plate)
    assert "No such command 'zzz'" in refused("zzz", plate)
    assert refused("segment").startswith("Missing argument 'DATASET'. See 'napari-dynaclr segment")
    assert "Missing option '--path'" in refused("annotate", plate)
    assert "'nonsense' is not one of 'annotations', 'embedding'" in refused(
        "export", plate, "nonsense", "out"
    )


PIPELINES = {
    "- sgment": "step 1: there is no stage 'sgment'",
    "- segment\n- track: {methd: laptrack}": "step 2: unknown setting 'methd'",
    "- track: {method: laptrak}": "did you mean 'laptrack'?",
    "- track: {max_gap: -1}": "max_gap = -1: input should be greater than or equal to 0",
    "- track: 3": "the settings of 'track' are no mapping",
    "segment: {}": "a pipeline is a list of stages",
    "": "a pipeline is a list of stages",
    "- [segment, track]": "write 'stage' or 'stage: {settings}'",
    "- 3": "write 'stage' or 'stage: {settings}'",
    "- {1: {}}": "there is no stage '1'",
    "- track: {1: 2}": "unknown setting '1'",
    "- track: {method: 3}": "There is no method of 'track' '3'",
    "- segment: {": "is not a YAML file",
    "\0": "is not a YAML file",
}


@pytest.mark.parametrize("text", PIPELINES)
def test_a_bad_pipeline_is_refused_before_anything_runs(plate, tmp_path, text):
    file = tmp_path / "pipeline.yaml"
    file.write_text(text)
    said = refused("run", plate, file, "--workspace", tmp_path / "new.dynaclr")
    assert str(file) in said
    assert PIPELINES[text] in said
    assert not (tmp_path / "new.dynaclr").exists()


def test_a_pipeline_that_is_not_there(plate, tmp_path):
    assert "check the path of the pipeline" in refused("run", plate, tmp_path / "no.yaml")


# -- the place of the results --------------------------------------------------------


def test_a_workspace_that_is_none(plate, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("")
    assert "is a file: choose a folder" in refused("info", plate, "--workspace", tmp_path / "file")
    said = refused("segment", plate, "--workspace", tmp_path / "photos")
    assert "is not empty and no workspace" in said
    said = refused("segment", plate, "--workspace", tmp_path / "file" / "below")
    assert "part of the path is a file" in said


def test_exports_do_not_overwrite(plate, workspace, untouched, tmp_path):
    (tmp_path / "out.zarr").mkdir()
    said = refused("export", plate, "embedding", tmp_path / "out.zarr", "--workspace", workspace)
    assert "exists already: choose another name or delete it" in said
    said = refused("export", plate, "embedding", tmp_path / "out.csv", "--workspace", workspace)
    assert "ends in .zarr" in said


@pytest.fixture
def disk(tmp_path):
    """Return a function that gives a small disk of its own, in memory."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)],
            check=False, capture_output=True,
        )  # fmt: skip
        if made.returncode:
            pytest.skip(f"cannot mount a disk here: {made.stderr.decode().strip()}")
        mounted.append(place)
        return place

    if os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid():
        pytest.skip("mounting a disk needs root on Linux")
    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


# Each stage with a setting that makes it write anew.
ANEW = {
    "segment": ["--diameter", 13],
    "track": ["--max-gap", 1],
    "embed": ["--radial-bins", 5],
    "project": ["--method", "pca", "--components", 3],
    "annotate": ["--path"],
    "classify": ["--strength", 0.5],
    "evaluate": [],
}


def command(stage: str, plate: Path, workspace: Path, clicks: Path) -> list[object]:
    return [
        stage, plate, "--workspace", workspace, *ANEW[stage],
        *([clicks] if stage == "annotate" else []),
    ]  # fmt: skip


@pytest.fixture
def clicks(workspace, tmp_path) -> Path:
    cells = pd.read_csv(tracks_file(workspace)).iloc[::5]
    table = cells[["t", "y", "x"]].assign(fov_name="A/1/1", state="infected")
    table.to_csv(tmp_path / "clicks.csv", index=False)
    return tmp_path / "clicks.csv"


def fill(disk: Path, leave: int) -> Path:
    ballast = disk / "ballast"
    room = os.statvfs(disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - leave)
    return ballast


@pytest.mark.parametrize("stage", ANEW)
def test_a_full_disk(plate, workspace, disk, clicks, stage):
    small = disk("20m")
    home = small / "plate.dynaclr"
    shutil.copytree(workspace, home)
    before = digest(home)
    ballast = fill(small, leave=0 if stage in ("annotate", "evaluate") else 12_288)
    said = refused(*command(stage, plate, home, clicks))
    assert "the disk is full: free some space, then run again to resume" in said
    after = digest(home)
    assert {name: after.get(name) for name in before} == before
    ballast.unlink()
    succeed(*command(stage, plate, home, clicks))
    assert strays(home) in ([], [".partial"])


@pytest.mark.parametrize("stage", ANEW)
def test_a_read_only_disk(plate, workspace, disk, clicks, stage):
    small = disk("20m")
    home = small / "plate.dynaclr"
    shutil.copytree(workspace, home)
    before = digest(home)
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    said = refused(*command(stage, plate, home, clicks))
    assert "the disk is read-only: choose another folder with --workspace" in said
    assert digest(home) == before
    assert succeed("info", plate, "--workspace", home).out


def test_a_read_only_disk_beside_the_data(plate, disk):
    small = disk("20m")
    shutil.copytree(plate, small / "plate.zarr")
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    said = refused("segment", small / "plate.zarr")
    assert "Cannot write to" in said
    assert "the disk is read-only: choose another folder with --workspace" in said


def test_makers_on_a_full_and_on_a_read_only_disk(disk, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (8, 512, 512), np.uint8)
    tifffile.imwrite(tmp_path / "movie.tif", pixels)
    small = disk("1m")
    commands = {
        small / "s.zarr": ["simulate", small / "s.zarr", "--size", 128, "--time-points", 60],
        small / "m.zarr": ["convert", tmp_path / "movie.tif", small / "m.zarr", "--axes", "TYX"],
    }
    for target, args in commands.items():
        assert "the disk is full: free some space, then run again" in refused(*args)
        assert not target.exists()
        for left in small.iterdir():
            shutil.rmtree(left)
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    for args in commands.values():
        assert refused(*args).endswith("the disk is read-only: choose another folder.")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_refuses_a_table(plate, workspace, untouched, monkeypatch, number):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    said = refused("track", plate, "--workspace", workspace, "--max-gap", 1)
    assert said.startswith("Cannot track plate.zarr: the disk is ")
