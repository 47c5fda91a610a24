from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from napari_dynaclr import Job, compare, params
from napari_dynaclr.core.errors import Cancelled, InvalidInput, MissingInput
from napari_dynaclr.core.tables import read_tracks
from napari_dynaclr.evaluation.events import of_tracks

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("timm", reason="the extra 'torch' is not installed")

from napari_dynaclr.comparison import probe_training  # noqa: E402
from napari_dynaclr.comparison.probe_crops import Crops, gather  # noqa: E402
from napari_dynaclr.comparison.probes import draw_labels  # noqa: E402
from napari_dynaclr.embedding.tap.architecture import TapConfig  # noqa: E402
from napari_dynaclr.embedding.tap.checkpoint import save_tap  # noqa: E402
from napari_dynaclr.embedding.tap.network import TimeArrowNet  # noqa: E402


@pytest.fixture(scope="module")
def arrow(tmp_path_factory):
    path = tmp_path_factory.mktemp("arrow") / "arrow.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = TimeArrowNet(TapConfig(features=8, maps=4, depth=2)).eval()
    save_tap(path, network, {"source_channel": "Nuclei", "delta_t": 1})
    return path


@pytest.fixture
def quick(arrow, truth):
    """Settings for small crops, few labels and two draws."""

    def settings(**values):
        base = {"weights": str(arrow), "truth": str(truth), "patch_size": 32, "draws": 2,
                "labels": (2, 4), "device": "cpu", "held_out": ("B/1/1",)}  # fmt: skip
        return params("compare", "probes", **base | values)

    return settings


@pytest.fixture
def hurried(monkeypatch):
    """Networks that are trained for two batches only."""
    monkeypatch.setattr(probe_training, "_steps", lambda _labels: 2)


def channel(_fov):
    return "Nuclei"


def test_all_ways_beside_each_other(dataset, quick, hurried, figures):
    job = Job()
    ways = ("linear", "resnet", "fine-tuned", "scratch")
    table = compare(dataset, quick(ways=ways), job)
    assert table[["way", "labels"]].to_numpy().tolist() == [
        [way, size] for way in ways for size in (2, 4)
    ]
    assert table["dividing"].between(1, 2).all()
    assert table["ap"].between(0, 1).all()
    assert table["ap_sd"].notna().all()
    assert table["whole"].all()
    assert table["parameters"].iloc[0] == 17, "two frames of eight features, and a threshold"
    assert 4e6 < table["parameters"].iloc[-1] < 6e6
    file = dataset.workspace.evaluation("probes")
    pd.testing.assert_frame_equal(pd.read_csv(file), table)
    text = file.with_suffix(".md").read_text("utf-8")
    assert "| Linear probe on TAP features (17 parameters) |" in text
    assert "that nothing was learnt from" in text
    assert job.notes[-2].startswith("With 2 labels: ")
    (axes,) = figures[0].axes
    assert len(axes.lines) == 5, "one of them is the level of chance"
    (run,) = dataset.workspace.runs()
    assert (run["stage"], run["method"], run["status"]) == ("compare", "probes", "finished")


def test_crops_show_divisions_in_the_middle_and_others_far_from_any(dataset, quick, truth):
    crops = gather(dataset, quick(others=2), channel, 1, "slices", Job())
    assert crops.pixels.shape[1:] == (2, 32, 32)
    assert crops.where == ("B/1/1",)
    assert 0 < crops.held_out.sum() < len(crops.pixels)
    count = 0
    for fov in dataset.fovs:
        true = of_tracks(read_tracks(truth / fov.name / "tracks.csv"), fov.scale)
        centres = np.array([places[0] for places in true.places]) / fov.scale
        inside = ((centres[:, 1:].round() >= 16) & (centres[:, 1:].round() <= 176)).all(axis=1)
        count += int(inside.sum())
    assert crops.dividing.sum() == count
    # A mother about to divide is bright and round; a while later there are two.
    bright = crops.pixels[:, 0, 12:20, 12:20].mean((1, 2))
    assert bright[crops.dividing].mean() > bright[~crops.dividing].mean() + 0.1


def test_pairs_further_apart_show_a_division_at_any_step_between(dataset, quick):
    one = gather(dataset, quick(), channel, 1, "slices", Job())
    two = gather(dataset, quick(), channel, 2, "slices", Job())
    assert one.dividing.sum() < two.dividing.sum() <= 2 * one.dividing.sum()


def test_too_many_crops_are_thinned_out(dataset, quick):
    whole = gather(dataset, quick(others=9), channel, 1, "slices", Job())
    crops = gather(dataset, quick(others=9, crops=20), channel, 1, "slices", Job())
    assert len(crops.pixels) == 20 < len(whole.pixels)
    assert crops.where == ("B/1/1",)


def test_more_labels_than_there_are_are_said_to_be_left_out(dataset, quick):
    job = Job()
    compare(dataset, quick(ways=("linear",), draws=1, labels=(2, 900)), job)
    assert any(note.startswith("Left out: 900 labels, for there are ") for note in job.notes)


def test_too_few_divisions_are_told_by_field(dataset, quick):
    with pytest.raises(InvalidInput, match=r"There are B/1/1 \d+ and \d+\. Choose further FOVs"):
        gather(dataset.select(["B/1/1"]), quick(), channel, 1, "slices", Job())


def test_labels_are_half_of_each_kind_as_far_as_there_are():
    dividing = np.arange(40) < 10
    generator = np.random.default_rng(0)
    assert dividing[draw_labels(dividing, 8, generator)].sum() == 4
    assert dividing[draw_labels(dividing, 30, generator)].sum() == 10
    whole = draw_labels(dividing, 40, generator)
    assert whole.tolist() == list(range(40))


def separable(count=48):
    """Crops of noise, brighter in the middle of the second frame where a cell divides."""
    generator = np.random.default_rng(1)
    pixels = generator.normal(0, 0.1, (count, 2, 32, 32)).astype(np.float32)
    dividing = np.arange(count) % 2 == 0
    pixels[dividing, 1, 12:20, 12:20] += 1
    return Crops(pixels, dividing, np.arange(count) >= count // 2, ("A/1/0",))


@pytest.mark.parametrize("way", ["linear", "resnet", "scratch", "fine-tuned"])
def test_every_way_learns_what_is_plain_to_see(way, monkeypatch):
    monkeypatch.setattr(probe_training, "_steps", lambda _labels: 30)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = TimeArrowNet(TapConfig(features=8, maps=4, depth=2)).eval()
    crops = separable()
    bench = probe_training.make_bench(crops, network, "cpu", Job(), dense=way == "resnet")
    rows = np.flatnonzero(~crops.held_out)
    learnt = probe_training.WAYS[way](bench, rows, 0, np.inf, Job())
    assert learnt.whole
    tested = crops.dividing[crops.held_out]
    assert roc_auc_score(tested, learnt.scores) > 0.95


def test_the_same_seed_learns_the_same_and_leaves_tap_as_it_is():
    network = TimeArrowNet(TapConfig(features=8, maps=4, depth=2)).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    crops = separable(16)
    bench = probe_training.make_bench(crops, network, "cpu", Job(), dense=True)
    rows = np.arange(8)
    for way in ("resnet", "scratch", "fine-tuned"):
        one, two = (probe_training.WAYS[way](bench, rows, 3, 0.0, Job()) for _ in range(2))
        assert np.array_equal(one.scores, two.scores)
        assert not one.whole, "the time was up before it began"
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_time_limit_cuts_short_and_is_told(dataset, quick):
    job = Job()
    table = compare(dataset, quick(ways=("scratch",), minutes=1e-4, draws=1, labels=(4,)), job)
    assert not table["whole"].any()
    assert "Cut short by the time limit" in job.notes[-3]


def test_it_can_be_cancelled_between_batches(dataset, quick):
    job = Job()

    def stop(progress):
        if progress.text.startswith("ResNet from scratch"):
            job.cancel()

    job._on_progress = stop
    with pytest.raises(Cancelled):
        compare(dataset, quick(ways=("scratch",)), job)
    assert not dataset.workspace.evaluation("probes").exists()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"ways": ("magic",)}, "there is no 'magic': choose linear"),
        ({"ways": ()}, "name one way to learn at least"),
        ({"labels": (1,)}, "two labels, one of each kind, are the fewest"),
        ({"labels": (500,)}, "fewer than 500 labels"),
        ({"channel": "GFP"}, "has no channel 'GFP'"),
        ({"weights": "", "preset": "none"}, "Name weights of TAP"),
        ({"delta_t": 10}, "10 time points, too few for pairs 10 frames apart"),
        ({"patch_size": 200}, r"none of the \d+ that are known is far enough from the border"),
        ({"truth": "", "known": "annotations"}, "for no cell is known to divide"),
    ],
)
def test_bad_input_is_said_in_one_line(dataset, quick, given, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        compare(dataset, quick(**given))
    assert "\n" not in str(caught.value)


def test_a_truth_of_another_movie_is_refused(dataset, quick, make_plate):
    other = make_plate("other.zarr", {"A/1/0": np.ones((3, 1, 1, 64, 64), np.uint16)})
    with pytest.raises(InvalidInput, match="give the truth of this dataset"):
        compare(dataset, quick(truth=str(other)))


def test_without_a_truth_cells_have_to_be_tracked(dataset, quick):
    with pytest.raises(MissingInput, match="run 'track' first"):
        compare(dataset, quick(truth=""))
