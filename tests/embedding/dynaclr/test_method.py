"""Embedding with an encoder, from the settings to the shards."""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
import pytest
import torch

from napari_dynaclr import Job, embed, open_dataset, segment, track
from napari_dynaclr.core import weights as presets
from napari_dynaclr.core.errors import Cancelled, InvalidInput, MissingExtra
from napari_dynaclr.core.registry import parse
from napari_dynaclr.core.shards import read_parts
from napari_dynaclr.core.weights import Preset
from napari_dynaclr.embedding import inference, networks
from napari_dynaclr.embedding.dynaclr.checkpoint import load_encoder, save_encoder
from napari_dynaclr.embedding.dynaclr.method import DynaclrParams

FOV = "B/1/0"
SIZE = 32
ABOUT = {
    "source_channels": ["Phase", "Sensor"],
    "patch_size": SIZE,
    "normalization": ["mean-std", "cell-percentiles"],
}


@pytest.fixture(scope="module")
def weights(mini, tmp_path_factory):
    """An encoder of two channels that says all that is to be known of it."""
    path = tmp_path_factory.mktemp("weights") / "mini.safetensors"
    save_encoder(path, mini(channels=2, depth=1), ABOUT)
    return path


@pytest.fixture
def params(weights):
    return DynaclrParams(preset="none", weights=str(weights), device="cpu")


@pytest.fixture
def one(processed):
    return processed.select([FOV])


def shard_of(dataset, fov=FOV):
    return dataset.workspace.embedding("dynaclr", dataset[fov])


def by_hand(dataset, path, fov=FOV):
    """Cell by cell, in plain numpy: what the method has to give."""
    fov = dataset[fov]
    tracks = dataset.workspace.tracks(fov)
    images = [np.asarray(fov.image(c), np.float32)[:, 0] for c in ABOUT["source_channels"]]
    grid = images[0][:, ::32, ::32].astype(float)
    patches = []
    wide = ((0, 0), (SIZE, SIZE), (SIZE, SIZE))
    images = [np.pad(image, wide, mode="symmetric") for image in images]  # the border is a mirror
    for cell in tracks.itertuples():
        y, x = (int(np.floor(c - (SIZE - 1) / 2 + 0.5)) + SIZE for c in (cell.y, cell.x))
        phase, sensor = (image[cell.t, y : y + SIZE, x : x + SIZE] for image in images)
        low, high = np.percentile(sensor, [50, 99])
        phase = (phase - grid.mean()) / (grid.std() + 1e-8)
        patches.append(np.stack([phase, (sensor - low) / (high - low)])[:, np.newaxis])
    network = load_encoder(path).network
    with torch.inference_mode():
        return [out.numpy() for out in network(torch.tensor(np.stack(patches)).float())]


def test_every_cell_is_embedded_as_by_hand(processed, params, weights):
    table = embed(processed, params)
    assert table["dimensions"].tolist() == [192] * 4
    for fov in processed.fov_names[::3]:
        shard = shard_of(processed, fov)
        tracks = processed.workspace.tracks(processed[fov])
        assert shard.obs["id"].tolist() == tracks["id"].tolist()
        vectors, projections = by_hand(processed, weights, fov)
        np.testing.assert_allclose(shard.X, vectors, atol=2e-4, rtol=1e-3)
        np.testing.assert_allclose(shard.obsm["X_projections"], projections, atol=2e-4, rtol=1e-3)
        assert shard.X.dtype == shard.obsm["X_projections"].dtype == np.float32
        near = (tracks[["y", "x"]] < SIZE / 2 - 1).any(axis=1)
        near |= (tracks[["y", "x"]] > 192 - SIZE / 2).any(axis=1)
        assert (shard.obs["at_border"].to_numpy() == near.to_numpy()).mean() > 0.98
        assert 0 < shard.obs["at_border"].sum() < len(shard)
        assert not shard.obs["has_nan"].any()


def test_the_shard_says_where_it_is_from_and_shows_no_map_of_the_projections(one, params, weights):
    embed(one, params)
    shard = shard_of(one)
    assert shard.uns["weights"] == "mini.safetensors"
    assert len(shard.uns["weights_sha256"]) == 64
    assert shard.uns["method"] == "dynaclr"
    assert shard.var.index[-1] == "e191"
    assert shard.var["description"].iloc[3] == "component 3 of mini"
    assert read_parts(one.workspace.shard("dynaclr", one.fovs[0]))["maps"] == {}
    assert one.workspace.runs()[-1]["weights_sha256"] == [shard.uns["weights_sha256"]]
    assert not (one.workspace.path / ".partial" / "embeddings.dynaclr" / "B_1_0").exists()


@pytest.mark.parametrize("changes", [{"batch_size": 1}, {"batch_size": 7}, {"precision": "mixed"}])
def test_batches_do_not_matter(one, params, changes):
    embed(one, params)
    expected = np.array(shard_of(one).X)
    one.workspace.forget("embeddings.dynaclr", one.fovs[0])
    embed(one, params.model_copy(update=changes))
    mixed = "precision" in changes
    found = np.asarray(shard_of(one).X)
    np.testing.assert_allclose(found, expected, atol=0.2 if mixed else 1e-4)
    if mixed:
        assert np.abs(found - expected).max() > 1e-4, "it was not mixed"


def test_how_fast_it_is_computed_is_no_reason_to_do_it_again_but_other_weights_are(
    one, params, mini, weights, tmp_path
):
    embed(one, params)
    before = one.workspace.key("embeddings.dynaclr", one.fovs[0])
    embed(one, params.model_copy(update={"batch_size": 3, "device": "auto"}))
    assert one.workspace.key("embeddings.dynaclr", one.fovs[0]) == before
    path = tmp_path / "mini.safetensors"
    path.write_bytes(weights.read_bytes())
    same = params.model_copy(update={"weights": str(path)})
    embed(one, same)
    vectors = np.array(shard_of(one).X)
    save_encoder(path, mini(channels=2, depth=1, seed=5), ABOUT)
    embed(one, same)
    assert np.abs(shard_of(one).X - vectors).max() > 0.01


def test_what_was_inferred_is_told(one, weights, tmp_path, mini):
    torch.save({"state_dict": mini(channels=2, depth=1).state_dict()}, tmp_path / "a.ckpt")
    job = Job()
    settings = {"channels": ("Sensor", "Phase"), "patch_size": 40, "normalization": ("none",)}
    embed(one, DynaclrParams(preset="none", weights=str(tmp_path / "a.ckpt"), **settings), job)
    assert job.notes == [
        "Read off the weights: convnext_mini, 2 channels, 1 slice, 192-dimensional embedding, "
        "8-dimensional projection, stem (1, 4, 4).",
        "Patches of 1 x 40 x 40 pixels, from Sensor (none), Phase (none).",
    ]


@pytest.fixture
def preset(monkeypatch, tmp_path, mini):
    """A published encoder that lies in the cache already; the sample has its channels."""
    monkeypatch.setenv("NAPARI_DYNACLR_CACHE", str(tmp_path / "cache"))
    name = "DynaCLR-DENV-VS+Ph"
    settings = {**ABOUT, "depth": 1, "z_start": 0}
    made = Preset(name, "embed", "https://nowhere.invalid/a.ckpt", "convnext_mini", settings)
    monkeypatch.setitem(presets.PRESETS, name, made)
    (tmp_path / "cache").mkdir()
    file = tmp_path / "cache" / made.file_name
    torch.save({"state_dict": mini(channels=2, depth=1).state_dict()}, file)
    return file


def test_a_preset_brings_its_recipe_with_it(one, preset, params):
    job = Job()
    embed(one, DynaclrParams(preset="DynaCLR-DENV-VS+Ph"), job)
    assert "recorded on first use" in job.notes[0]
    assert job.notes[-1] == (
        "Patches of 1 x 32 x 32 pixels, from Phase (mean-std), Sensor (cell-percentiles)."
    )
    found = np.array(shard_of(one).X)
    embed(one, params)
    np.testing.assert_allclose(shard_of(one).X, found, atol=1e-5)


def test_a_file_is_taken_as_the_preset_only_if_it_can_be(one, preset, mini, tmp_path):
    torch.save(mini(channels=2, depth=1, seed=3).state_dict(), tmp_path / "like.pt")
    job = Job()
    embed(one, DynaclrParams(weights=str(tmp_path / "like.pt")), job)
    assert any("like.pt is used as DynaCLR-DENV-VS+Ph" in note for note in job.notes)
    torch.save(mini(channels=1, depth=1).state_dict(), tmp_path / "other.pt")
    with pytest.raises(InvalidInput, match=r"other\.pt is not DynaCLR-DENV-VS\+Ph, but convnext"):
        embed(one, DynaclrParams(weights=str(tmp_path / "other.pt")))


def test_weights_that_do_not_fit_the_channels_are_not_even_downloaded(one, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_DYNACLR_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InvalidInput) as caught:
        embed(one, DynaclrParams(preset="DynaCLR-DENV-VS+Ph"))
    assert str(caught.value) == (
        "Choose the 2 channels that the weights take (they were trained on Phase3D, RFP), in their "
        "order, from Phase, Nuclei, Membrane, Sensor."
    )
    with pytest.raises(InvalidInput, match="take 2 channels, 1 is chosen"):
        embed(one, DynaclrParams(channels=("Phase",)))
    assert not (tmp_path / "cache").exists()


def test_the_sample_has_an_encoder_of_its_own_that_needs_no_download(one, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_DYNACLR_CACHE", str(tmp_path / "cache"))
    job = Job()
    embed(one, DynaclrParams(device="cpu"), job)
    assert not (tmp_path / "cache").exists()
    assert "1 x 64 x 64 pixels, from Phase (mean-std), Sensor (cell-percentiles)" in job.notes[-1]
    shard = shard_of(one)
    assert shard.shape[1] == 192
    assert shard.uns["weights"] == "encoder.safetensors"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": ("Phase",)}, r"take 2 channels, 1 is chosen \(Phase\): choose 2"),
        ({"channels": ("Phase", "Phse")}, "Choose the 2 channels that the weights take"),
        ({"depth": 15}, r"mini\.safetensors takes 1 slices, not 15"),
        ({"z_start": 4}, "has 1 slices, too few for 1 from slice 4 on: set z_start to 0 or less"),
        ({"normalization": ("none",) * 3}, "3 normalisations for 2 channels: give one for all"),
        ({"weights": ""}, "Name a weights file, or choose a published encoder"),
        ({"weights": "absent.pt"}, "There is no weights file absent.pt"),
        ({"device": "mps"}, "Device 'mps' is not available"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(one, params, changes, message):
    if changes.get("device") == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has that device")
    with pytest.raises(InvalidInput, match=message) as caught:
        embed(one, params.model_copy(update=changes))
    assert "\n" not in str(caught.value)
    assert one.workspace.runs()[-1]["status"] == "failed"


def test_what_a_bare_file_does_not_say_is_asked_for(one, mini, tmp_path):
    torch.save(mini(channels=2, depth=1).state_dict(), tmp_path / "a.pt")
    bare = {"preset": "none", "weights": str(tmp_path / "a.pt")}
    for settings, message in (
        ({}, "Choose the 2 channels that the weights take, in their order, from Phase, Nuclei"),
        ({"channels": ("Phase", "Sensor")}, "do not say how large their patches were: set patch_"),
        (
            {"channels": ("Phase", "Sensor"), "patch_size": 32},
            "do not say how their images were normalised: set normalization",
        ),
    ):
        with pytest.raises(InvalidInput, match=message):
            embed(one, DynaclrParams(**bare, **settings))
    with pytest.raises(InvalidInput, match="there is no 'mean': choose mean-std"):
        parse("embed", "dynaclr", {"normalization": ["mean"]})


def test_a_stack_that_is_too_shallow_is_refused(one, mini, tmp_path):
    save_encoder(tmp_path / "deep.safetensors", mini(channels=2, depth=15), ABOUT)
    with pytest.raises(InvalidInput, match=r"takes 15 slices, FOV B/1/0 has 1: choose weights"):
        embed(one, DynaclrParams(preset="none", weights=str(tmp_path / "deep.safetensors")))


@pytest.mark.parametrize("package", ["torch", "timm", "safetensors"])
def test_without_torch_the_extra_is_named(one, params, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf'{package} is not .*"napari-dynaclr\[torch\]"'):
        embed(one, params)


def test_a_run_killed_between_time_points_goes_on_there(one, params, monkeypatch):
    embed(one, params)
    expected = np.array(shard_of(one).X)
    one.workspace.forget("embeddings.dynaclr", one.fovs[0])
    original, seen = inference.embed_cells, []

    def dies(*arguments):
        for t, frame in original(*arguments):
            seen.append(t)
            yield t, frame
            if len(seen) == 4:
                raise KeyboardInterrupt

    monkeypatch.setattr(inference, "embed_cells", dies)
    with pytest.raises(KeyboardInterrupt):
        embed(one, params)
    again = open_dataset(one.root, one.workspace.path).select([FOV])
    embed(again, params)
    assert seen == list(range(10))
    np.testing.assert_allclose(shard_of(again).X, expected, atol=1e-5)


def test_it_stops_within_two_seconds(one, params, monkeypatch):
    forward, slow = inference.Inference._forward, threading.Event()

    def sluggish(self, part, mixed):
        slow.set()
        time.sleep(0.3 * len(part))
        return forward(self, part, mixed)

    monkeypatch.setattr(inference.Inference, "_forward", sluggish)
    job = Job()
    asked = []

    def cancel():
        slow.wait(30)
        time.sleep(1.0)
        asked.append(time.monotonic())
        job.cancel()

    threading.Thread(target=cancel).start()
    with pytest.raises(Cancelled):
        embed(one, params, job)
    assert time.monotonic() - asked[0] < 2
    assert one.workspace.runs()[-1]["status"] == "cancelled"


def test_the_network_is_loaded_once_for_all_fovs_and_not_if_all_is_done(
    processed, params, monkeypatch
):
    loads = []
    original = networks._Running.prepared.fget

    def counted(self):
        if self._prepared is None:
            loads.append(1)
        return original(self)

    monkeypatch.setattr(networks._Running, "prepared", property(counted))
    embed(processed, params)
    assert len(loads) == 1
    embed(processed, params)
    assert len(loads) == 1


def movie(make_plate, image):
    """A FOV with three boxes that stand still, one of them at the border."""
    labels = np.zeros((image.shape[0], 1, 1, 96, 96), np.uint16)
    for i, (y, x) in enumerate([(0, 0), (40, 30), (60, 64)]):
        labels[..., y : y + 12, x : x + 12] = i + 1
    dataset = open_dataset(make_plate("movie.zarr", {"A/1/0": image}))
    masks = make_plate("labels.zarr", {"A/1/0": labels})
    segment(dataset, parse("segment", "import", {"path": str(masks)}))
    track(dataset, parse("track", "masks", {}))
    return dataset


def test_cells_with_nan_are_embedded_flagged_and_told(make_plate, mini, tmp_path):
    about = {**ABOUT, "source_channels": ["Nuclei"], "normalization": ["cell-percentiles"]}
    save_encoder(tmp_path / "a.safetensors", mini(channels=1), about)
    image = np.random.default_rng(0).normal(100, 10, (3, 1, 1, 96, 96)).astype(np.float32)
    image[1, ..., 40:46, 30:36] = np.nan
    image[2, ..., 52:92, 52:92] = np.inf
    dataset = movie(make_plate, image)
    job = Job()
    embed(dataset, DynaclrParams(preset="none", weights=str(tmp_path / "a.safetensors")), job)
    shard = shard_of(dataset, "A/1/0")
    flagged = shard.obs.loc[shard.obs["has_nan"], ["track_id", "t"]].to_numpy().tolist()
    assert flagged == [[2, 1], [3, 2]]
    assert np.isfinite(shard.X).all()
    assert job.notes[-1].startswith("FOV A/1/0: 2 of 9 cells have NaN in their patches.")
    image[1] = np.nan
    blank = movie_again(make_plate, image)
    given = {"preset": "none", "weights": str(tmp_path / "a.safetensors")}
    with pytest.raises(InvalidInput, match="time point 1 holds nothing but NaN"):
        embed(blank, DynaclrParams(**given))
    embed(blank, DynaclrParams(**given, empty_frames="skip"))
    assert np.isfinite(shard_of(blank, "A/1/0").X).all()


def movie_again(make_plate, image):
    def elsewhere(name, *arguments):
        return make_plate(f"again-{name}", *arguments)

    return movie(elsewhere, image)
