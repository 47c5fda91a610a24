"""What every method of every stage keeps to; a new line in the registry is tested by itself."""

from __future__ import annotations

import shutil
from functools import cache
from importlib.util import find_spec

import pandas as pd
import pytest
from fake_trackastra import write_trackastra

from napari_dynaclr import Job, open_dataset, stain, track
from napari_dynaclr.core.atomic import write_csv
from napari_dynaclr.core.errors import Cancelled
from napari_dynaclr.core.registry import METHODS, STAGES, parse
from napari_dynaclr.core.tables import (
    ANNOTATION_COLUMNS,
    EVENT_COLUMNS,
    PREDICTION_COLUMNS,
    TRACK_COLUMNS,
)
from napari_dynaclr.tracking.correction.corrector import Corrector

FOV = "B/1/0"
COLUMNS = {
    "stain": ["fov_name", "t", "frame"],
    "segment": ["fov_name", "t", "cells"],
    "track": ["fov_name", *TRACK_COLUMNS],
    "correct": ["fov_name"],
    "train": ["epoch", "loss"],
    "find": ["fov_name", *EVENT_COLUMNS, "overall_rank"],
    "embed": ["fov_name", "cells", "dimensions"],
    "project": ["fov_name", "track_id", "t", "id"],
    "profile": ["fov_name", "t", "plate", "well"],
    "annotate": ANNOTATION_COLUMNS,
    "classify": [*PREDICTION_COLUMNS, "predicted_infection", "confidence"],
    "evaluate": [],
}
# Where a stage leaves its results; runs.jsonl grows with every run and tells nothing.
RESULTS = {
    "stain": ["stain.zarr", "progress/stain"],
    "segment": ["segmentation.zarr", "progress/segmentation"],
    "track": ["tracks.zarr", "progress/tracks"],
    "correct": ["corrections.jsonl", "linked.zarr", "evaluation"],
    "train": ["weights"],
    "find": ["events"],
    "embed": ["embeddings"],
    "project": ["embeddings"],
    "profile": ["profiles"],
    "annotate": ["annotations.jsonl"],
    "classify": ["embeddings"],
    "evaluate": [],
}
SLOW = {("project", "umap"), ("evaluate", "tracking"), ("embed", "imagenet")}
# Of several wells, and here is one FOV: see tests/evaluation/test_profiles_scores.py.
OF_WELLS = {("evaluate", "retrieval"), ("evaluate", "nuisance")}
# Where the networks' extra is not installed, their methods are not to be tested.
NETWORKS = all(map(find_spec, ("torch", "timm", "safetensors", "pooch", "monai", "lightning")))

every_method = pytest.mark.parametrize(
    "method",
    [
        pytest.param(
            m,
            id=f"{m.stage}-{m.name}",
            marks=[
                *([pytest.mark.slow] if (m.stage, m.name) in SLOW else []),
                pytest.mark.skipif(
                    (m.extra == "torch" or m.name == "staining") and not NETWORKS,
                    reason="the extra 'torch' is missing",
                ),
                pytest.mark.skipif(
                    m.extra in ("ultrack", "trackastra") and find_spec(m.extra) is None,
                    reason=f"the extra '{m.extra}' is missing",
                ),
            ],
        )
        for m in METHODS
        if m.stage in STAGES and (m.stage, m.name) not in OF_WELLS
    ],
)


@pytest.fixture(scope="session")
def encoders(tmp_path_factory):
    """Return a function that writes a network's weights, random ones, once."""

    @cache
    def write(name):
        import timm
        import torch

        from napari_dynaclr.embedding.dynaclr.architecture import EncoderConfig
        from napari_dynaclr.embedding.dynaclr.checkpoint import save_encoder
        from napari_dynaclr.embedding.dynaclr.network import ContrastiveEncoder

        path = tmp_path_factory.mktemp("weights") / f"{name}.safetensors"
        if name == "trackastra":
            return str(write_trackastra(path.with_suffix("")))
        if name == "imagenet":
            torch.save(timm.create_model("convnext_tiny").state_dict(), path)
        elif name == "cytoland":
            from napari_dynaclr.staining.architecture import StainerConfig
            from napari_dynaclr.staining.checkpoint import save_stainer
            from napari_dynaclr.staining.network import build

            network = build(StainerConfig(dims=(8, 16), blocks=(1, 1), decoder_blocks=1))
            targets = ["nuclei_prediction", "membrane_prediction"]
            save_stainer(path, network, {"target_channels": targets, "normalization": "mean-std"})
        elif name == "cellect":
            from napari_dynaclr.tracking.cellect.architecture import CellectConfig
            from napari_dynaclr.tracking.cellect.checkpoint import save_cellect
            from napari_dynaclr.tracking.cellect.model import Cellect

            save_cellect(path, Cellect(CellectConfig(base=2, levels=3, embedding=8)))
        elif name == "tap":
            from napari_dynaclr.embedding.tap.architecture import TapConfig
            from napari_dynaclr.embedding.tap.checkpoint import save_tap
            from napari_dynaclr.embedding.tap.network import TimeArrowNet

            tap = {"source_channel": "Phase", "delta_t": 1}
            save_tap(path, TimeArrowNet(TapConfig(features=8, maps=4, depth=2)), tap)
        elif name in ("profiler", "fields"):
            from napari_dynaclr.embedding.profiler.architecture import ProfilerConfig
            from napari_dynaclr.embedding.profiler.checkpoint import save_profiler
            from napari_dynaclr.embedding.profiler.network import ProfilerNet
            from napari_dynaclr.embedding.profiler.recipe import ProfilerRecipe

            recipe = ProfilerRecipe(
                source_channels=("Sensor",),
                channel_kind="fluorescence",
                unit="field" if name == "fields" else "cell",
                pixel_size=0.55,
            )
            save_profiler(path, ProfilerNet(ProfilerConfig("mini", 1, 32, 8)), recipe)
        else:
            flat = (1, 4, 4)
            network = ContrastiveEncoder(EncoderConfig("convnext_mini", 1, 1, flat, flat))
            about = {"source_channels": ["Sensor"], "normalization": ["cell-percentiles"]}
            save_encoder(path, network, {**about, "patch_size": 32})
        return str(path)

    return write


@pytest.fixture
def weights(method, encoders):
    """A file of weights, for the methods that need one."""
    if method.stage == "evaluate" and method.name.startswith("stain") and NETWORKS:
        return encoders("cytoland")
    takes = method.stage in ("stain", "find", "embed", "profile") and method.extra
    if takes or (method.stage, method.name) in (("track", "cellect"), ("track", "trackastra")):
        return encoders(method.name)
    return ""


@pytest.fixture
def settings(truth, tmp_path, weights):
    """What a method cannot do without, and a change of its settings that matters."""
    states = pd.read_csv(truth / "annotations.csv")
    states = states[states["fov_name"] == FOV]
    points = states.rename(columns={"cell_death_state": "state"}).tail(6)
    points.to_csv(tmp_path / "points.csv", index=False)

    def of(method, dataset):
        cut = another = 0
        tracks = dataset.workspace.tracks(dataset.fovs[0]) if method.name == "iohub" else None
        if tracks is not None:
            table = tracks.assign(fov_name=FOV, cell_death_state="alive", annotator="ada")
            table.to_csv(tmp_path / "iohub.csv", index=False)
            dead = table.assign(cell_death_state="dead")
            dead.to_csv(tmp_path / "dead.csv", index=False)
        if method.stage == "correct":
            linked = dataset.workspace.tracks(dataset.fovs[0]).query("parent_id >= 0")["id"]
            cut, another = linked.iloc[0], linked.iloc[-1]
            for name, node in (("cut", cut), ("another", another)):
                (tmp_path / f"{name}.csv").write_text(f"action,id\ncut,{node}\n")
            if method.name in ("write", "replay"):
                Corrector(dataset, FOV).cut(int(cut))
            if method.name == "replay":
                track(dataset, parse("track", "laptrack", {"max_gap": 1}))
        if method.stage == "evaluate" and method.name.startswith("stain"):
            given = {"preset": "none", "weights": weights, "device": "cpu"}
            stain(dataset, parse("stain", "cytoland", given))
        if (method.stage, method.name) in (("annotate", "events"), ("evaluate", "events")):
            list_events(dataset)
        few = {"noise": [], "contrast": [], "magnification": [], "time_points": 1}
        short = {"epochs": 1, "patches": 8, "batch_size": 4, "patch_size": 64, "device": "cpu"}
        of_pairs = {**{name: short[name] for name in short if name != "patches"}, "pairs": 8}
        true_states = {"truth": str(truth / "annotations.csv")}
        given = {
            ("stain", "cytoland"): (
                {"preset": "none", "weights": weights, "device": "cpu"},
                {"normalization": "median-iqr"},
            ),
            ("segment", "import"): ({"path": str(truth)}, {"name": "cell_labels"}),
            ("segment", "threshold"): ({}, {"diameter": 14.0}),
            ("track", "assignment"): ({}, {"max_distance": 8.0}),
            ("track", "flow"): ({}, {"max_distance": 8.0}),
            ("track", "cellect"): ({"weights": weights, "device": "cpu"}, {"max_gap": 0}),
            ("track", "laptrack"): ({}, {"max_distance": 8.0}),
            ("track", "import"): ({"path": str(truth)}, {"radius": 4.0}),
            ("track", "ultrack"): ({"solver": "cbc"}, {"window": 5}),
            ("track", "trackastra"): (
                {"folder": weights, "device": "cpu"},
                {"mode": "greedy_nodiv"},
            ),
            ("correct", "edit"): (
                {"action": "cut", "cells": [str(cut)]},
                {"cells": [str(another)]},
            ),
            ("correct", "table"): (
                {"path": str(tmp_path / "cut.csv")},
                {"path": str(tmp_path / "another.csv")},
            ),
            ("correct", "suspects"): ({"reliability": 1.0}, {"count": 3}),
            ("train", "dynaclr"): (
                {
                    "channels": ["Sensor"],
                    "epochs": 1,
                    "patch_size": 32,
                    "batch_size": 16,
                    "border": "reflect",
                    "device": "cpu",
                },
                {"name": "another", "seed": 1},
            ),
            ("train", "staining"): (short, {"name": "another", "seed": 1}),
            ("train", "fcmae"): (short, {"name": "another", "seed": 1}),
            ("train", "cellect"): (short, {"name": "another", "seed": 1}),
            ("train", "tap"): (of_pairs, {"name": "another", "seed": 1}),
            ("find", "tap"): (
                {"weights": weights, "channel": "Nuclei", "device": "cpu"},
                {"delta_t": 2},
            ),
            ("train", "profiler"): (
                {
                    "channels": ["Sensor"],
                    "epochs": 1,
                    "patch_size": 32,
                    "token_size": 8,
                    "local_crops": 0,
                    "prototypes": 16,
                    "time_window": 1000.0,
                    "device": "cpu",
                },
                {"name": "another", "seed": 1},
            ),
            ("embed", "profiler"): ({"weights": weights}, {"channels": ["Phase"]}),
            ("profile", "fields"): (
                {"weights": weights, "map": "none", "device": "cpu"},
                {"channels": ["Phase"]},
            ),
            ("embed", "features"): ({}, {"ring": 4.0}),
            ("embed", "dynaclr"): ({"preset": "none", "weights": weights}, {"patch_size": 40}),
            ("embed", "imagenet"): (
                {"channels": ["Sensor"], "weights": weights, "patch_size": 32},
                {"channels": ["Phase"]},
            ),
            ("embed", "tap"): ({"weights": weights}, {"channel": "Nuclei"}),
            ("project", "phate"): ({}, {"knn": 8}),
            ("project", "umap"): ({}, {"neighbors": 8}),
            ("profile", "cells"): ({"map": "none"}, {"standardize": "plate"}),
            ("annotate", "points"): (
                {"path": str(tmp_path / "points.csv"), "task": "death"},
                {"task": "vitality"},
            ),
            ("annotate", "iohub"): (
                {"path": str(tmp_path / "iohub.csv")},
                {"path": str(tmp_path / "dead.csv")},
            ),
            ("annotate", "events"): ({"count": 2}, {"count": 4}),
            ("classify", "linear"): ({}, {"strength": 0.01}),
            ("evaluate", "smoothness"): ({}, {"standardize": False}),
            ("evaluate", "tracking"): ({"truth": str(truth)}, {"channel": "cell_labels"}),
            ("evaluate", "divisions"): ({}, {"frames": 2}),
            ("evaluate", "events"): ({"truth": str(truth)}, {"first": 3}),
            ("evaluate", "robustness"): ({}, {"swaps": 0.1}),
            ("evaluate", "staining"): ({}, {"every": 3}),
            ("evaluate", "stain-robustness"): ({**few, "blur": [2.0]}, {"blur": [4.0]}),
            ("evaluate", "stain-features"): ({}, {"time_point": 1}),
            ("evaluate", "classification"): (true_states, {"radius": 0.5}),
        }.get((method.stage, method.name), ({}, None))
        kind = method.params_class()
        if given[1] is None and kind.model_fields:
            # A method that nobody wrote anything down for: change its first number.
            name, field = next(
                (n, f) for n, f in kind.model_fields.items() if isinstance(f.default, int | float)
            )
            given = ({}, {name: field.default + 1})
        return kind.parse(given[0]), kind.parse({**given[0], **(given[1] or {})})

    return of


def list_events(dataset):
    """List some cells as if they were likely events."""
    for fov in dataset.fovs:
        cells = dataset.workspace.tracks(fov).query("t == 3").head(6)
        table = cells.assign(score=range(6, 0, -1), rank=range(1, 7))
        write_csv(dataset.workspace.events_csv("tap", fov), table[EVENT_COLUMNS])
        dataset.workspace.mark_complete("events.tap", fov, "key")


@pytest.fixture
def one(processed):
    """One FOV in which every stage has been done."""
    return processed.select([FOV])


@pytest.fixture
def before(one):
    """That FOV as it was before a stage: its results and all that follow from them are gone."""

    def strip(stage):
        home, later = one.workspace.path, STAGES[STAGES.index(stage) :]
        for name in later:
            for place in RESULTS[name]:
                if place == "embeddings" and stage in ("project", "profile", "classify"):
                    continue  # kept in the shards of an earlier stage
                path = home / place
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for folder in (home / "progress").iterdir():
            kind = folder.name.split(".")[0]
            profiles = ("profiles", "profile_vectors")
            follows = ("embeddings", "projection", *profiles, "predictions")
            gone = {
                "segment": ("segmentation", "tracks", *follows),
                "track": ("tracks", *follows),
                "correct": follows,
                "find": ("events",),
                "embed": follows,
                "project": ("projection",),
                "profile": profiles,
                "classify": ("predictions",),
            }.get(stage, ())
            if kind in gone:
                shutil.rmtree(folder)
        (home / "runs.jsonl").unlink()
        return open_dataset(one.root, home).select([FOV])

    return strip


def written(dataset, stage):
    """Every file of a stage's results, and when it was written."""
    home = dataset.workspace.path
    files = {}
    for place in RESULTS[stage]:
        for path in [home / place, *(home / place).rglob("*")]:
            if path.is_file():
                files[path.relative_to(home)] = (path.stat().st_mtime_ns, path.stat().st_size)
    return files


def runs_of(method, dataset):
    """What is recorded of a stage; what was needed for it may have run before."""
    return [run for run in dataset.workspace.runs() if run["stage"] == method.stage]


def half_written(dataset):
    """Temporary names that a reader could stumble over."""
    home = dataset.workspace.path
    names = (p.relative_to(home) for p in home.rglob("*"))
    return [
        n
        for n in names
        if n.parts[0] != ".partial"
        and n.name[0] == "."
        and n.name[1:2] != "z"
        and n.name != ".locks"
        and ".locks" not in n.parts
    ]


@every_method
def test_a_run_returns_its_columns_and_records_itself_and_a_second_one_redoes_nothing(
    method, before, settings
):
    dataset = before(method.stage)
    params, _ = settings(method, dataset)
    table = method.verb()(dataset, params)
    assert list(table)[: len(COLUMNS[method.stage])] == COLUMNS[method.stage]
    assert len(table)
    if "fov_name" in table:
        # All annotations are returned, whichever FOVs were selected for the import.
        assert set(table["fov_name"]) - {"mean"} == {FOV} or method.stage == "annotate"
    (run,) = runs_of(method, dataset)
    assert (run["stage"], run["method"], run["status"]) == (method.stage, method.name, "finished")
    assert run["params"] == params.model_dump(mode="json")
    assert run["fovs"] == [FOV]
    assert run["versions"]["napari-dynaclr"]
    assert run["started"] <= run["ended"]

    files = written(dataset, method.stage)
    assert bool(files) == bool(RESULTS[method.stage])
    again = method.verb()(open_dataset(dataset.root, dataset.workspace.path).select([FOV]), params)
    pd.testing.assert_frame_equal(again, table)
    assert written(dataset, method.stage) == files
    assert not half_written(dataset)


@every_method
def test_cancelled_at_once_it_leaves_no_result_and_says_so(method, before, settings):
    dataset = before(method.stage)
    params, _ = settings(method, dataset)
    files = written(dataset, method.stage)
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        method.verb()(dataset, params, job)
    assert written(dataset, method.stage) == files
    assert not half_written(dataset)
    (run,) = runs_of(method, dataset)
    assert run["status"] == "cancelled"
    assert "error" not in run


@every_method
def test_other_settings_do_it_again(method, before, settings):
    if not method.params_class().model_fields:
        pytest.skip("it has no settings to change")
    dataset = before(method.stage)
    params, others = settings(method, dataset)
    assert params != others
    first = method.verb()(dataset, params)
    files = written(dataset, method.stage)
    second = method.verb()(dataset, others)
    changed = not first.equals(second)
    if RESULTS[method.stage]:
        assert written(dataset, method.stage) != files
        changed = True
    assert changed
    assert [run["params"] for run in runs_of(method, dataset)] == [
        p.model_dump(mode="json") for p in (params, others)
    ]
