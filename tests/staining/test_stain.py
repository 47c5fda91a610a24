from __future__ import annotations

import threading
import time

import numpy as np
import pandas as pd
import pytest
from iohub import open_ome_zarr

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("timm", reason="the extra 'torch' is not installed")

from napari_dynaclr import Job, open_dataset, segment, stain  # noqa: E402
from napari_dynaclr.core.device import Device  # noqa: E402
from napari_dynaclr.core.errors import Cancelled, InvalidInput  # noqa: E402
from napari_dynaclr.core.registry import parse  # noqa: E402
from napari_dynaclr.core.weights import PRESETS  # noqa: E402
from napari_dynaclr.staining.checkpoint import save_stainer  # noqa: E402
from napari_dynaclr.staining.inference import Inference, Running  # noqa: E402
from napari_dynaclr.staining.method import StainParams, open_stainer  # noqa: E402
from napari_dynaclr.staining.tiling import padding  # noqa: E402

NAMES = ("nuclei_prediction", "membrane_prediction")
STEM = {1: (1, 2, 2), 5: (5, 4, 4)}


def params(weights, **more):
    return StainParams(preset="none", weights=weights, device="cpu", **more)


def made(dataset, fov="A/1/0"):
    with open_ome_zarr(dataset.workspace.plate("stain") / fov, layout="fov") as position:
        return np.asarray(position["0"][:])


def by_hand(network, frame, depth, mean, std, stride=1):
    """Every window over a reflected frame, averaged: what staining should come to."""
    normal = torch.from_numpy(((frame - mean) / (std + 1e-8)).astype(np.float32))
    (top, bottom), (left, right) = (padding(n, network.config.stride) for n in frame.shape[-2:])
    wide = torch.from_numpy(np.pad(normal, ((0, 0), (top, bottom), (left, right)), mode="reflect"))
    total = torch.zeros((2, *wide.shape))
    count = torch.zeros(len(wide))
    last = len(wide) - depth
    for z in sorted({*range(0, last + 1, stride), last}):
        with torch.no_grad():
            total[:, z : z + depth] += network(wide[None, None, z : z + depth])[0]
        count[z : z + depth] += 1
    mean_of_all = total / count[None, :, None, None]
    height, width = frame.shape[-2:]
    return mean_of_all[..., top : top + height, left : left + width].numpy()


@pytest.mark.parametrize(("depth", "slices"), [(1, 1), (1, 3), (5, 5), (5, 9)])
def test_a_stain_is_the_mean_of_all_windows_of_normalised_frames(movie, save, small, depth, slices):
    dataset = movie((2, slices, 40, 52))
    table = stain(dataset, params(save(depth)))
    pixels = dataset["A/1/0"].image("Phase").compute().astype(float)
    thin = pixels[..., ::32, ::32]
    network = small(depth=depth, stem=STEM[depth])
    expected = [by_hand(network, one, depth, thin.mean(), thin.std()) for one in pixels]
    np.testing.assert_allclose(made(dataset), expected, atol=2e-5)
    assert list(table)[:3] == ["fov_name", "t", "frame"]
    figures = made(dataset)[..., ::32, ::32].mean(axis=(2, 3, 4))
    found = table[[f"{name}_mean" for name in NAMES]].to_numpy()
    np.testing.assert_allclose(found, figures, atol=1e-5)


# zarr warns of the table beside each image.
@pytest.mark.filterwarnings("ignore:Object at stain.csv")
def test_the_result_is_a_plate_and_its_channels_are_the_datasets(movie, save):
    dataset = movie((2, 3, 40, 52), fovs=("A/1/0", "B/2/1"))
    stain(dataset, params(save()))
    with open_ome_zarr(dataset.workspace.plate("stain"), layout="hcs", mode="r") as plate:
        assert [name for name, _ in plate.positions()] == ["A/1/0", "B/2/1"]
        array = plate["A/1/0"]["0"]
        assert plate["A/1/0"].channel_names == list(NAMES)
        assert array.dtype == np.float32
        assert array.shape == (2, 2, 3, 40, 52)
        assert array.chunks == (1, 1, 1, 40, 52)
    assert dataset.channels == ["Phase", "Nuclei", *NAMES]
    found = dataset["B/2/1"].image("membrane_prediction").compute()
    np.testing.assert_array_equal(found, made(dataset, "B/2/1")[:, 1])
    cells = segment(dataset, parse("segment", "threshold", {"channel": NAMES[0]}))
    assert len(cells) == 4


def test_a_second_run_reads_nothing_and_loads_no_network(movie, save, monkeypatch):
    dataset = movie()
    first = stain(dataset, params(save()))
    monkeypatch.setattr("napari_dynaclr.staining.method._prepare", None)
    again = stain(open_dataset(dataset.root), params(save(), batch_size=3))
    pd.testing.assert_frame_equal(first, again)


def test_its_own_channels_are_no_source(movie, save):
    dataset = movie(channels=("one", "two"))
    with pytest.raises(InvalidInput, match="choose the channel among one, two"):
        stain(dataset, params(save()))
    stain(dataset, params(save(), channel="two"))
    with pytest.raises(InvalidInput, match="no channel 'nuclei_prediction' to stain from"):
        stain(dataset, params(save(), channel="nuclei_prediction"))


def test_a_large_frame_in_tiles_is_nearly_the_whole(movie, save):
    dataset = movie((1, 1, 160, 200))
    stain(dataset, params(save()))
    whole = made(dataset)
    stain(dataset, params(save(), tile=96))
    tiled = made(dataset)
    assert not np.array_equal(whole, tiled)
    for one, other in zip(whole[0], tiled[0], strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99
    # No seams: a step between neighbouring pixels is not larger where tiles meet.
    steps = np.abs(np.diff(tiled - whole, axis=-1)).max()
    assert steps < 0.5 * np.abs(np.diff(whole, axis=-1)).max()


@pytest.mark.parametrize("how", ["mean", "median", "product"])
def test_turned_images_are_turned_back(small, how):
    network = small()
    infer = Inference(network, network.config.stride, Device.CPU, Running(rotations=how))
    pixels = torch.rand((2, 1, 1, 24, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        each = torch.stack(
            [torch.rot90(network(torch.rot90(pixels, k, (-2, -1))), -k, (-2, -1)) for k in range(4)]
        )
    expected = {
        "mean": each.mean(0),
        "median": each.sort(0).values[1],
        "product": each.clamp_min(0).add(1e-9).prod(0),
    }[how]
    torch.testing.assert_close(infer(pixels, Job()), expected, rtol=1e-4, atol=1e-6)
    # Turning the image turns the stain, but for rounding.
    turned = infer(torch.rot90(pixels, 1, (-2, -1)), Job())
    torch.testing.assert_close(torch.rot90(turned, -1, (-2, -1)), expected, rtol=1e-3, atol=1e-5)


def test_viscys_padding_is_monais(movie, save, small):
    monai = pytest.importorskip("monai.transforms")
    dataset = movie((1, 1, 40, 52))
    stain(dataset, params(save(), padding="viscy", normalization="none"))
    network = small()
    side = network.config.reference_stride
    image = torch.from_numpy(dataset["A/1/0"].image("Phase")[0].compute().astype(np.float32))
    wide = monai.DivisiblePad((0, side, side))(image[None]).as_tensor()
    with torch.no_grad():
        answer = network(wide[None])[0]
    high, width = wide.shape[-2:]
    top, left = (high - 40) // 2, (width - 52) // 2
    expected = answer[..., top : top + 40, left : left + 52]
    # Images of 900 grey levels as they are give a stain of hundreds.
    np.testing.assert_allclose(made(dataset)[0], expected.numpy(), rtol=1e-3, atol=1e-2)


# -- how images are normalised ------------------------------------------------------


@pytest.mark.parametrize("level", ["fov", "dataset", "timepoint"])
@pytest.mark.parametrize("mode", ["mean-std", "median-iqr", "percentiles", "none"])
def test_normalisations(movie, save, monkeypatch, mode, level):
    dataset = movie((2, 1, 96, 96), fovs=("A/1/0", "A/1/1"))
    seen = []
    monkeypatch.setattr(
        Inference, "__call__", lambda _self, x, _job: (seen.append(x), x.repeat(1, 2, 1, 1, 1))[1]
    )
    stain(dataset, params(save(), normalization=mode, statistics=level))
    pixels = [fov.image("Phase").compute().astype(float) for fov in dataset.fovs]
    places = {"fov": pixels[0], "dataset": np.stack(pixels), "timepoint": pixels[0][0]}
    thin = places[level][..., ::32, ::32]
    low, q1, middle, q3, high = np.percentile(thin, [1, 25, 50, 75, 99])
    sub, div = {
        "mean-std": (thin.mean(), thin.std()),
        "median-iqr": (middle, q3 - q1),
        "percentiles": (low, high - low),
        "none": (0, 1),
    }[mode]
    expected = (pixels[0][0] - sub) / div
    # The percentiles of a whole are pooled from quantiles of its time points.
    exact = level == "timepoint" or mode in ("mean-std", "none")
    np.testing.assert_allclose(seen[0][0, 0], expected, rtol=1e-3, atol=1e-3 if exact else 0.3)


def test_a_constant_frame_is_no_reason_for_nan(movie, save):
    images = {"A/1/0": np.full((2, 2, 1, 40, 40), 0.1, np.float32)}
    dataset = movie(images=images)
    for mode in ("mean-std", "median-iqr", "percentiles"):
        table = stain(dataset, params(save(), normalization=mode))
        assert not made(dataset).any()
        assert table["frame"].tolist() == ["constant", "constant"]


@pytest.mark.parametrize("level", ["fov", "dataset", "timepoint"])
def test_a_constant_frame_among_others_is_stained_as_zeros(movie, save, level):
    images = np.random.default_rng(0).integers(100, 900, (3, 2, 3, 40, 40)).astype(np.uint16)
    images[1, 0] = 300
    images[2, 0, 1] = 300  # a slice is no frame
    dataset = movie(images={"A/1/0": images})
    job = Job()
    table = stain(dataset, params(save(), statistics=level), job)
    assert table["frame"].tolist() == ["stained", "constant", "stained"]
    assert not made(dataset)[1].any()
    assert (np.abs(made(dataset)[[0, 2]]).max(axis=(1, 3, 4)) > 0).all()
    assert any("the same everywhere at time point 1" in note for note in job.notes)
    with open_stainer(dataset, params(save()), Job()) as stainer:
        assert not stainer.stain_frame(dataset["A/1/0"], 1, images[1, :1], Job()).any()


def test_a_channel_that_is_not_named_like_a_label_free_one_is_pointed_out(movie, save):
    images = {"A/1/0": np.random.default_rng(0).integers(1, 9, (1, 1, 1, 40, 40)).astype(np.uint16)}
    dataset = movie(images=images, channels=("GFP",))
    job = Job()
    stain(dataset, params(save()), job)
    assert any("GFP is not named like a label-free channel" in note for note in job.notes)
    for more in ({"channel": "GFP"}, {}):
        quiet = Job()
        own = save(**({} if more else {"source_channels": ("GFP",)}))
        stain(dataset, params(own, **more), quiet)
        assert not any("label-free channel" in note for note in quiet.notes)


def test_an_iqr_of_zero_is_refused(movie, save):
    images = np.zeros((1, 2, 1, 320, 320), np.uint16) + 5
    images[..., ::128, ::128] = 900
    dataset = movie(images={"A/1/0": images})
    with pytest.raises(InvalidInput, match=r"iqr is 0: choose the normalisation mean-std"):
        stain(dataset, params(save(), normalization="median-iqr"))
    stain(dataset, params(save(), normalization="mean-std"))


def test_stray_nan_are_filled(movie, save):
    images = np.random.default_rng(0).normal(5, 1, (1, 2, 1, 40, 40)).astype(np.float32)
    images[0, 0, 0, 3:9, 3:9] = np.nan
    dataset = movie(images={"A/1/0": images})
    stain(dataset, params(save()))
    assert np.isfinite(made(dataset)).all()


@pytest.mark.parametrize(("value", "what"), [(0, "zeros"), (np.nan, "NaN")])
def test_empty_frames(movie, save, value, what):
    images = np.random.default_rng(0).normal(5, 1, (3, 2, 2, 40, 40)).astype(np.float32)
    images[1, 0] = value
    dataset = movie(images={"A/1/0": images})
    with pytest.raises(InvalidInput, match=f"channel Phase, time point 1 holds nothing but {what}"):
        stain(dataset, params(save()))
    job = Job()
    table = stain(dataset, params(save(), empty_frames="skip"), job)
    assert table["frame"].tolist() == ["stained", "empty", "stained"]
    assert not made(dataset)[1].any()
    assert made(dataset)[2].any()
    assert any("empty at time point 1" in note for note in job.notes)


# -- voxels ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "says"),
    [
        ((1.0, 0.65, 0.65), "Pixels are 2.0x larger than"),
        ((1.0, 0.1, 0.1), "Pixels are 3.2x smaller than"),
        ((1.0, 1.0, 1.0), "do not say how large their pixels are"),
        ((7.0, 0.35, 0.3), None),
    ],
)
def test_other_voxels_than_those_of_the_training_are_mentioned_once(movie, save, scale, says):
    dataset = movie((1, 1, 40, 40), fovs=("A/1/0", "A/1/1"), scale=scale)
    job = Job()
    stain(dataset, params(save(voxel_size=(None, 0.325, 0.325))), job)
    found = [note for note in job.notes if "pixels are" in note.lower()]
    assert len(found) == (says is not None)
    assert says is None or says in found[0]


@pytest.mark.parametrize(("depth", "scale"), [(1, (1.0, 0.65, 0.65)), (5, (0.5, 0.05, 0.05))])
def test_resampling_shows_the_network_its_own_voxels(movie, save, depth, scale, monkeypatch):
    dataset = movie((1, 6, 40, 52), scale=scale)
    seen = []
    whole = Inference.__call__

    def spy(self, pixels, job):
        seen.extend(tuple(window.shape[1:]) for window in pixels)
        return whole(self, pixels, job)

    monkeypatch.setattr(Inference, "__call__", spy)
    trained = (None if depth == 1 else 0.25, 0.325 if depth == 1 else 0.1, 0.1)
    trained = (trained[0], trained[1], trained[1])
    job = Job()
    stain(dataset, params(save(depth, voxel_size=trained), resample=True), job)
    assert made(dataset).shape == (1, 2, 6, 40, 52)
    assert np.isfinite(made(dataset)).all()
    if depth == 1:
        assert set(seen) == {(1, 80, 104)}  # twice as many pixels, multiples of 8 already
    else:
        assert set(seen) == {(5, 32, 32)}  # half as many, up to the multiple; 12 slices
        assert len(seen) == 8
    assert not any("set resample" in note for note in job.notes)


def test_a_thin_stack_is_stained_and_mentioned(movie, save):
    dataset = movie((1, 3, 40, 40))
    job = Job()
    stain(dataset, params(save(5)), job)
    assert made(dataset).shape == (1, 2, 3, 40, 40)
    assert any("continued by reflection" in note for note in job.notes)


@pytest.mark.parametrize("stride", [2, 5])
def test_larger_strides_are_the_mean_of_fewer_windows(movie, save, small, stride):
    dataset = movie((1, 13, 40, 40))
    stain(dataset, params(save(5), z_stride=stride))
    frame = dataset["A/1/0"].image("Phase").compute().astype(float)[0]
    thin = frame[..., ::32, ::32]
    network = small(depth=5, stem=STEM[5])
    expected = by_hand(network, frame, 5, thin.mean(), thin.std(), stride)
    np.testing.assert_allclose(made(dataset)[0], expected, atol=2e-5)
    every = by_hand(network, frame, 5, thin.mean(), thin.std())
    assert np.abs(expected - every).max() > 1e-3  # it would be seen


# -- when something goes wrong ---------------------------------------------------------


def test_cancelled_and_resumed_is_as_if_never_stopped(movie, save):
    weights = params(save(5))
    expected = movie((4, 7, 40, 40), name="whole.zarr")
    stain(expected, weights)
    dataset = movie((4, 7, 40, 40))
    job = Job(on_part=lambda part: job.cancel() if part.t == 1 else None)
    with pytest.raises(Cancelled):
        stain(dataset, weights, job)
    assert not dataset.workspace.plate("stain").exists()
    parts = []
    stain(dataset, weights, Job(on_part=lambda part: parts.append(part.t)))
    assert parts == [2, 3]
    np.testing.assert_array_equal(made(dataset), made(expected))


def test_a_busy_network_is_left_at_once(movie, save, monkeypatch):
    busy = threading.Event()
    free = threading.Event()

    def slow(_self, _part, _mixed):
        busy.set()
        free.wait(30)
        raise RuntimeError("nobody waits for this")

    monkeypatch.setattr(Inference, "_forward", slow)
    monkeypatch.setattr(Inference, "_measure", lambda *_: 1.0)
    dataset = movie()
    job = Job()
    cancelled = []

    def cancel():
        busy.wait(30)
        cancelled.append(time.monotonic())
        job.cancel()

    threading.Thread(target=cancel).start()
    with pytest.raises(Cancelled):
        stain(dataset, params(save()), job)
    assert busy.is_set()
    assert time.monotonic() - cancelled[0] < 2  # not the 30 s of the batch
    free.set()


def damage(dataset, fov, t, keep=0.5):
    chunk = dataset.root / fov / "0" / f"{t}/0/0/0/0"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[: int(len(whole) * keep)])
    return lambda: chunk.write_bytes(whole)


@pytest.mark.parametrize("level", ["fov", "timepoint", "dataset"])
def test_a_damaged_chunk_is_named_and_all_else_is_finished(movie, save, level):
    weights = params(save(), statistics=level)
    dataset = movie((4, 2, 40, 40), fovs=("A/1/0", "A/1/1"))
    restore = damage(dataset, "A/1/0", 1)
    parts = []

    def run():
        parts.clear()
        job = Job(on_part=lambda part: parts.append((part.fov_name, part.t)))
        return stain(open_dataset(dataset.root), weights, job)

    with pytest.raises(InvalidInput) as said:
        run()
    assert str(said.value).startswith("Cannot read FOV A/1/0, time point 1, channel Phase: ")
    assert "\n" not in str(said.value)
    whole = [(fov, t) for fov in ("A/1/0", "A/1/1") for t in range(4)]
    assert parts == [one for one in whole if one != ("A/1/0", 1)]
    assert dataset.workspace.key("stain", dataset["A/1/1"])
    assert dataset.workspace.key("stain", dataset["A/1/0"]) is None
    with pytest.raises(InvalidInput, match="time point 1, channel Phase"):
        run()
    assert parts == []
    restore()
    table = run()
    assert parts == [("A/1/0", 1)]
    assert set(table["frame"]) == {"stained"}
    assert (np.abs(made(dataset)).max(axis=(1, 2, 3, 4)) > 0).all()


@pytest.mark.parametrize("level", ["fov", "dataset"])
def test_several_damaged_chunks_are_named_in_one_line(movie, save, level):
    dataset = movie((3, 1, 40, 40), fovs=("A/1/0", "A/1/1", "B/1/0"))
    for fov, times in (("A/1/0", [0, 2]), ("B/1/0", [0, 1, 2])):
        for t in times:
            damage(dataset, fov, t)
    with pytest.raises(InvalidInput) as said:
        stain(dataset, params(save(), statistics=level))
    for fov, times in (("A/1/0", [0, 2]), ("B/1/0", [0, 1, 2])):
        for t in times:
            assert f"FOV {fov}, time point {t}, channel Phase" in str(said.value)
    assert "all else is stained" in str(said.value)
    assert dataset.workspace.key("stain", dataset["A/1/1"])


def test_damaged_frames_may_be_left_empty(movie, save):
    dataset = movie((3, 2, 40, 40))
    damage(dataset, "A/1/0", 1)
    job = Job()
    table = stain(dataset, params(save(), unreadable="blank"), job)
    assert table["frame"].tolist() == ["stained", "unreadable", "stained"]
    assert not made(dataset)[1].any()
    assert any("Its stain is left empty" in note for note in job.notes)
    assert dataset.workspace.key("stain", dataset["A/1/0"])


def test_tiles_are_halved_where_memory_is_short(small):
    network = small()
    infer = Inference(network, network.config.stride, Device.CPU, Running())
    pixels = torch.rand((3, 1, 1, 64, 64), generator=torch.Generator().manual_seed(0))
    whole = infer(pixels, Job())
    sizes, counts = [], []
    forward = infer._forward

    def short(part, mixed):
        sizes.append(part.shape[-1])
        counts.append(len(part))
        if part.shape[-1] > 32 or len(part) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(part, mixed)

    infer._forward = short
    job = Job()
    found = infer(pixels, job)
    assert sizes[:2] == [64, 64]
    assert counts[:2] == [3, 1]  # fewer windows first, then smaller tiles
    assert set(sizes[2:]) == {32}
    assert any("tiles of 32 x 32 from here on" in note for note in job.notes)
    for one, other in zip(whole, found, strict=True):
        assert torch.corrcoef(torch.stack([one.ravel(), other.ravel()]))[0, 1] > 0.9
    # Windows are computed each by itself, in whatever company.
    alone = torch.cat([infer(one[None], Job()) for one in pixels])
    torch.testing.assert_close(found, alone, rtol=1e-5, atol=1e-6)

    def shorter(part, mixed):
        raise torch.OutOfMemoryError("CUDA out of memory")

    infer._forward = shorter
    with pytest.raises(InvalidInput, match="A tile of 8 x 8 pixels does not fit into the memory"):
        infer(pixels, Job())


def test_what_overflows_in_mixed_precision_is_computed_again_in_full(small):
    network = small()
    infer = Inference(network, network.config.stride, Device.CPU, Running(precision="mixed"))
    pixels = torch.rand((1, 1, 1, 64, 64))
    kinds = []
    forward = infer._forward

    def overflow(part, mixed):
        kinds.append(mixed)
        return forward(part, mixed) * (float("inf") if mixed else 1)

    infer._forward = overflow
    assert torch.isfinite(infer(pixels, Job())).all()
    assert kinds == [True, False]
    infer._forward = lambda part, mixed: forward(part, mixed) * float("nan")
    with pytest.raises(InvalidInput, match="The network gives NaN or infinite values"):
        infer(pixels, Job())


@pytest.mark.parametrize(("height", "batch"), [(256, 1), (64, 16)])
def test_small_frames_are_computed_several_at_a_time(small, height, batch):
    network = small()
    infer = Inference(network, network.config.stride, Device.CPU, Running())
    assert infer.plan((1, 1, height, height), 2, Job())[0] == batch


def test_frames_that_do_not_fit_are_cut_to_tiles_that_do(small, monkeypatch):
    network = small()
    infer = Inference(network, network.config.stride, Device.CPU, Running())
    infer.plan((1, 1, 64, 64), 2, Job())
    monkeypatch.setattr(
        "napari_dynaclr.staining.inference._memory", lambda _: 64 * 64 * infer._need
    )
    infer.plan((1, 1, 64, 64), 2, Job())
    assert infer._tile == 32  # a quarter of the memory is for a network on the CPU


@pytest.mark.parametrize(
    "words",
    ["MPS backend out of memory (MPS allocated: 1 GB)", "CUDA error: out of memory",
     "cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "DefaultCPUAllocator: can't allocate memory"],
)  # fmt: skip
def test_fewer_windows_are_computed_at_a_time_before_tiles_are_cut(small, words):
    network = small()
    infer = Inference(network, network.config.stride, Device.CPU, Running())
    pixels = torch.rand((5, 1, 1, 32, 32), generator=torch.Generator().manual_seed(0))
    whole = infer(pixels, Job())
    seen = []
    forward = infer._forward

    def short(part, mixed):
        seen.append(tuple(part.shape[i] for i in (0, -1)))
        if len(part) > 2:
            raise RuntimeError(words)
        return forward(part, mixed)

    infer._forward = short
    torch.testing.assert_close(infer(pixels, Job()), whole, rtol=1e-5, atol=1e-6)
    assert seen == [(5, 32), (2, 32), (2, 32), (1, 32)]
    assert infer.settled.tile == 0

    def broken(part, mixed):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    infer._forward = broken
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        infer(pixels, Job())


def test_tiles_do_not_depend_on_the_frames_before(small, monkeypatch):
    network = small()
    infer = Inference(network, network.config.stride, Device.CPU, Running())
    infer.plan((1, 1, 64, 64), 2, Job())
    monkeypatch.setattr(
        "napari_dynaclr.staining.inference._memory", lambda _: 64 * 64 * infer._need
    )
    sides = {}
    for side in (64, 32, 24, 64, 32):
        infer.plan((1, 1, side, side), 2, Job())
        sides.setdefault(side, set()).add(infer.settled.tile)
    assert sides == {64: {32}, 32: {0}, 24: {0}}


# -- settings ------------------------------------------------------------------------


def test_all_published_stainers_can_be_chosen():
    choices = set(StainParams.model_fields["preset"].annotation.__args__)
    published = {name for name, preset in PRESETS.items() if preset.use == "stain"}
    assert choices == published | {"auto", "none"}


@pytest.mark.parametrize(("slices", "name"), [(1, "VSCyto2D"), (14, "VSCyto2D"), (15, "VSCyto3D")])
def test_auto_goes_by_the_depth_of_the_stacks(movie, monkeypatch, slices, name):
    asked = []

    def get(preset, job):
        asked.append(preset.name)
        raise InvalidInput("no connection")

    monkeypatch.setattr("napari_dynaclr.staining.method.get_weights", get)
    with pytest.raises(InvalidInput, match="no connection"):
        stain(movie((1, slices, 16, 16)))
    assert asked == [name]


def test_settings_come_before_what_the_file_says(movie, save):
    dataset = movie()
    with open_stainer(dataset, params(save()), Job()) as stainer:
        assert stainer.prepared.source.mode == "mean-std"
        assert stainer.prepared.source.channels == ("Phase",)
        assert stainer.channels == NAMES
    own = params(save(), normalization="median-iqr", statistics="dataset", channel="Nuclei")
    with open_stainer(dataset, own, Job()) as stainer:
        assert stainer.prepared.source.mode == "median-iqr"
        assert stainer.prepared.source.level == "dataset"
        assert stainer.prepared.source.channels == ("Nuclei",)


def test_what_is_missing_is_asked_for(movie, save, small, tmp_path):
    dataset = movie()
    with pytest.raises(InvalidInput, match=r"^preset none needs a weights file: name it with weig"):
        StainParams.parse({"preset": "none"})
    bare = tmp_path / "bare.safetensors"
    save_stainer(bare, small(), {})
    with pytest.raises(InvalidInput, match="set normalization"):
        stain(dataset, params(str(bare)))
    stain(dataset, params(str(bare), normalization="mean-std"))
    assert dataset.channels[2:] == ["stain_0_prediction", "stain_1_prediction"]


def test_a_frame_in_memory_is_stained_like_one_on_disk(movie, save):
    dataset = movie((2, 7, 40, 52))
    weights = params(save(5), statistics="timepoint")
    stain(dataset, weights)
    fov = dataset["A/1/0"]
    frame = fov.image("Phase")[1].compute()[None]
    with open_stainer(dataset, weights, Job()) as stainer:
        found = stainer.stain_frame(fov, 1, frame, Job(), own=False)
        np.testing.assert_allclose(found, made(dataset)[1], atol=1e-5)
        # By its own statistics, contrast does not matter; and any size will do.
        one = stainer.stain_frame(fov, 1, frame[..., :30, :30], Job())
        other = stainer.stain_frame(fov, 1, frame[..., :30, :30] * 3.0 + 50, Job())
        assert one.shape == (2, 7, 30, 30)
        np.testing.assert_allclose(one, other, atol=1e-4)
