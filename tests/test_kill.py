"""Kill -9 anywhere, run again: the result equals an uninterrupted run's."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import time
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from commands import killed_at, strays

from napari_dynaclr.core.atomic import TEMPORARY

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")

STAGES = ("segment", "track", "embed", "project", "annotate", "classify")
"""Stages that work on a dataset; simulate and convert make one."""

# Settings other than those of the results that are there, so that these are replaced.
ARGS = {
    "segment": ["--diameter", "13"],
    "track": ["--max-gap", "1"],
    "embed": ["--radial-bins", "5"],
    "project": ["--method", "pca", "--components", "3"],
    "annotate": ["--path"],
    "classify": ["--strength", "0.5"],
}
RESULTS = {
    "segment": ("segmentation", "segmentation.zarr/{}"),
    "track": ("tracks", "tracks.zarr/{}"),
    "embed": ("embeddings.features", "embeddings/features/{}.zarr"),
    "classify": ("predictions.features.infection", "embeddings/features/{}.zarr"),
}


@pytest.fixture(scope="session")
def processes():
    """Start processes from a clean one that has imported everything already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "commands", "iohub.ngff", "anndata", "sklearn.linear_model", "skops.io", "laptrack",
            "napari_dynaclr.segmentation.threshold", "napari_dynaclr.embedding.features",
            "napari_dynaclr.projection.pca", "napari_dynaclr.classification.learning",
            "napari_dynaclr.conversion.tiff", "napari_dynaclr.sample.simulation",
        ]
    )  # fmt: skip
    return context


def spawn(processes, home: Path, number: int, args: list[str]):
    process = processes.Process(target=killed_at, args=(str(home), number, args))
    process.start()
    return process


def whole(processes, home: Path, args: list[str]) -> int:
    """Run a command to its end; return the number of file operations it took."""
    process = spawn(processes, home, 0, args)
    process.join(120)
    assert process.exitcode == 0
    return int(Path(f"{home}.count").read_text())


def read(home: Path) -> dict[str, object]:
    """Everything published in a folder: pixels, tables, embeddings, ledger, journal."""
    found: dict[str, object] = {}
    for file in sorted(home.rglob("*")):
        name = file.relative_to(home).as_posix()
        if name.startswith("embeddings/"):
            if name.count("/") == 2:
                found[name] = shard(file)
        elif file.is_dir() and ((file / "zarr.json").exists() or (file / ".zarray").exists()):
            node = zarr.open(file, mode="r")
            found[name] = node.attrs.asdict()
            if isinstance(node, zarr.Array):
                found[name] = np.asarray(node[...]).tobytes()
        elif name.startswith("progress/"):
            found[name] = json.loads(file.read_text())["key"] if file.is_file() else None
        elif name == "annotations.jsonl":
            marks = [json.loads(line)["marks"] for line in file.read_text().splitlines()]
            found[name] = marks
        elif name == "annotations.csv":
            found[name] = pd.read_csv(file).drop(columns="date").to_csv()
        elif file.suffix in (".csv", ".json") and name != "workspace.json":
            found[name] = file.read_bytes()
        elif file.suffix == ".skops":
            found[name] = None  # a zip with the time in it; what it predicts is compared
    return found


def shard(path: Path) -> tuple[object, ...]:
    data = ad.read_zarr(path)
    arrays = {name: np.asarray(values).tobytes() for name, values in data.obsm.items()}
    uns = {name: str(value) for name, value in data.uns.items() if not name.endswith("_path")}
    return np.asarray(data.X).tobytes(), data.obs.to_csv(), data.var.to_csv(), arrays, uns


def finished(home: Path, stage: str, keys: dict[str, object]) -> dict[Path, tuple[int, int]]:
    """Identify the files of FOVs that are done under the keys of the reference."""
    if stage not in RESULTS:
        return {}
    result, place = RESULTS[stage]
    stamps = {}
    for ledger in (home / "progress" / result).glob("[!.]*.json"):
        name = ledger.relative_to(home).as_posix()
        if json.loads(ledger.read_text())["key"] == keys[name]:
            fov = ledger.stem if "embeddings" in place else ledger.stem.replace("_", "/")
            files = [p for p in (home / place.format(fov)).rglob("*") if p.is_file()]
            assert files
            stamps.update({p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in files})
    return stamps


def let_time_pass(home: Path) -> None:
    """Make what a killed run left unfinished a minute old."""
    for left in home.rglob(".*"):
        if TEMPORARY.search(left.name):
            os.utime(left, (time.time() - 60,) * 2)


@pytest.fixture(scope="session")
def clicks(plate, truth, tmp_path_factory) -> Path:
    """Annotations of other cells than those that are annotated already."""
    table = pd.read_csv(truth / "annotations.csv").groupby("infection_state").sample(
        30, random_state=7
    )  # fmt: skip
    table = table.rename(columns={"infection_state": "state"})[["fov_name", "t", "y", "x", "state"]]
    file = tmp_path_factory.mktemp("clicks") / "clicks.csv"
    table.to_csv(file, index=False)
    return file


def command(stage: str, plate: Path, home: Path, clicks: Path) -> list[str]:
    more = [str(clicks)] if stage == "annotate" else []
    return [stage, str(plate), "--workspace", str(home), *ARGS[stage], *more]


def check_stage(processes, plate, start, clicks, tmp_path, stage, kills, seed=0) -> None:
    """Kill a stage at some of its file operations, each time in a fresh workspace."""
    # The same path for all: it is in the provenance of the embeddings.
    home = tmp_path / "killed.dynaclr"
    shutil.copytree(start, home)
    count = whole(processes, home, command(stage, plate, home, clicks))
    expected = read(home)
    shutil.rmtree(home)
    moments = sorted(random.Random(seed).sample(range(1, count), min(kills, count - 1)))
    for moment in moments:
        shutil.copytree(start, home)
        process = spawn(processes, home, moment, command(stage, plate, home, clicks))
        process.join(120)
        assert process.exitcode == -9, (stage, moment)
        check_rerun(processes, home, stage, expected, command(stage, plate, home, clicks))
        shutil.rmtree(home)


def check_rerun(processes, home, stage, expected, args) -> None:
    stamps = finished(home, stage, expected)
    let_time_pass(home)
    whole(processes, home, args)
    found = read(home)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    after = {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in stamps}
    if stage != "project":  # one map of all FOVs: it is computed, and written, as a whole
        assert after == stamps
    assert strays(home) in ([], [".partial"])
    assert [p for p in (home / ".partial").rglob("*") if p.is_file()] == []


def test_a_killed_stage_is_finished_by_running_it_again(
    processes, plate, processed, clicks, tmp_path
):
    start = processed.workspace.path
    check_stage(processes, plate, start, clicks, tmp_path, "segment", kills=1, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_kill_at_any_file_operation(processes, plate, processed, clicks, tmp_path, stage):
    check_stage(processes, plate, processed.workspace.path, clicks, tmp_path, stage, kills=12)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_kill_again_and_again_at_any_time(processes, plate, processed, clicks, tmp_path, stage):
    """Kill by the clock, also within a write; each run is killed until one is through."""
    start, home = processed.workspace.path, tmp_path / "killed.dynaclr"
    shutil.copytree(start, home)
    args = command(stage, plate, home, clicks)
    began = time.monotonic()
    whole(processes, home, args)
    seconds = time.monotonic() - began
    expected = read(home)
    shutil.rmtree(home)
    shutil.copytree(start, home)
    moments = random.Random(3)
    for _ in range(6):
        process = spawn(processes, home, 0, args)
        time.sleep(moments.uniform(0.1, 0.9) * seconds)
        process.kill()
        process.join(60)
    check_rerun(processes, home, stage, expected, args)


@pytest.mark.slow
def test_kill_in_the_middle_of_simulate(processes, tmp_path):
    def args(home: Path) -> list[str]:
        small = ["--wells-per-condition", "1", "--fovs-per-well", "2", "--time-points", "6"]
        return ["simulate", str(home / "s.zarr"), "--size", "128", *small]

    whole_run, home = tmp_path / "whole", tmp_path / "killed"
    whole_run.mkdir()
    count = whole(processes, whole_run, args(whole_run))
    expected = read(whole_run)
    for moment in sorted(random.Random(0).sample(range(1, count), 12)):
        home.mkdir()
        process = spawn(processes, home, moment, args(home))
        process.join(120)
        assert process.exitcode == -9
        done = home / ".s.zarr.partial" / "done"
        finished = {p.stem.replace("_", "/") for p in done.glob("[!.]*.csv")}
        chunks = {
            p.relative_to(home / ".s.zarr.partial"): p.stat().st_ino
            for name in finished
            for p in (home / ".s.zarr.partial/images.zarr" / name).rglob("c/*/*/*/*/*")
        }
        let_time_pass(home)
        whole(processes, home, args(home))
        found = read(home)
        assert [n for n in expected | found if found.get(n) != expected.get(n)] == [], moment
        assert strays(home) == []
        for chunk, inode in chunks.items():
            assert (home / "s.zarr" / chunk.relative_to("images.zarr")).stat().st_ino == inode
        shutil.rmtree(home)


@pytest.mark.slow
def test_kill_in_the_middle_of_convert(processes, tmp_path):
    source = tmp_path / "movies"
    source.mkdir()
    for name in ("A_1_0", "A_1_1"):
        pixels = np.random.default_rng(len(name)).integers(0, 9999, (5, 64, 64), np.uint16)
        tifffile.imwrite(source / f"{name}.tif", pixels, metadata={"axes": "TYX"}, ome=True)

    def args(home: Path) -> list[str]:
        return ["convert", str(source), str(home / "m.zarr")]

    whole_run, home = tmp_path / "whole", tmp_path / "killed"
    whole_run.mkdir()
    count = whole(processes, whole_run, args(whole_run))
    expected = read(whole_run)
    for moment in sorted(random.Random(0).sample(range(1, count), 10)):
        home.mkdir()
        process = spawn(processes, home, moment, args(home))
        process.join(120)
        assert process.exitcode == -9
        whole(processes, home, args(home))
        found = read(home)
        assert [n for n in expected | found if found.get(n) != expected.get(n)] == [], moment
        assert strays(home) == []
        shutil.rmtree(home)


@pytest.mark.slow
def test_kill_in_the_middle_of_stain(processes, plate, tmp_path):
    pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    from napari_dynaclr.staining.architecture import StainerConfig
    from napari_dynaclr.staining.checkpoint import save_stainer
    from napari_dynaclr.staining.network import build

    weights = tmp_path / "w.safetensors"
    network = build(StainerConfig(dims=(8, 16), blocks=(1, 1), decoder_blocks=1))
    save_stainer(weights, network, {"normalization": "mean-std"})

    def args(home: Path) -> list[str]:
        more = ["--preset", "none", "--weights", str(weights), "--device", "cpu", "--fov", "A/1"]
        return ["stain", str(plate), "--workspace", str(home), *more]

    home = tmp_path / "killed.dynaclr"
    count = whole(processes, home, args(home))
    expected = read(home)
    shutil.rmtree(home)
    for moment in sorted(random.Random(2).sample(range(1, count), 5)):
        process = spawn(processes, home, moment, args(home))
        process.join(120)
        assert process.exitcode == -9
        let_time_pass(home)
        whole(processes, home, args(home))
        found = read(home)
        assert [n for n in expected | found if found.get(n) != expected.get(n)] == [], moment
        assert strays(home) in ([], [".partial"])
        shutil.rmtree(home)
