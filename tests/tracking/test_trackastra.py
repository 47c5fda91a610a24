from __future__ import annotations

import gc
import pickle
import sys
import warnings
from importlib.util import find_spec

import numpy as np
import pytest
import yaml
from fake_trackastra import write_trackastra

from napari_dynaclr import Job, open_dataset, segment, track
from napari_dynaclr.core.errors import InvalidInput, MissingExtra
from napari_dynaclr.core.registry import parse
from napari_dynaclr.core.tables import node_id
from napari_dynaclr.tracking.trackastra import greedy
from napari_dynaclr.tracking.trackastra_model import model_folder

FOV = "B/1/0"
installed = pytest.mark.skipif(
    not all(map(find_spec, ("trackastra", "torch", "motile"))),
    reason="the extra 'trackastra' is missing",
)


@pytest.fixture
def model(tmp_path):
    return write_trackastra(tmp_path / "model")


@pytest.fixture
def one(dataset):
    fov = dataset.select([FOV])
    segment(fov)
    return fov


def run(dataset, folder, job=None, **values):
    params = {"folder": str(folder), "channel": "Nuclei", "device": "cpu", **values}
    return track(dataset, parse("track", "trackastra", params), job)


def links_of(tracks):
    linked = tracks[tracks["parent_id"] >= 0]
    return set(zip(linked["parent_id"], linked["id"], strict=True))


@installed
@pytest.mark.parametrize("mode", ["greedy", "greedy_nodiv", "ilp"])
def test_the_links_are_those_of_trackastra_itself(one, model, mode):
    import dask.array as da
    from trackastra.model import Trackastra

    fov = one.fovs[0]
    labels = one.workspace.labels("segmentation", fov)
    masks = np.stack([frame[0, 0] for _, frame in labels.frames(["labels"])])
    images = np.stack([f[0, 0] for _, f in fov.frames(["Nuclei"])]).astype(np.float32)
    with warnings.catch_warnings(action="ignore"):  # it leaves files open
        theirs = Trackastra.from_folder(model, device="cpu")
        gc.collect()
    # Frame by frame, as its networks were trained, and as it reads movies that are not in memory.
    images = da.from_array(images, chunks=(1, *images.shape[1:]))
    with warnings.catch_warnings(action="ignore"):
        graph, _ = theirs.track(images, masks.astype(np.int32), mode=mode)
    expected = {
        tuple(node_id(int(graph.nodes[n]["time"]), int(graph.nodes[n]["label"])) for n in edge)
        for edge in graph.edges
    }
    tracks = run(one, model, mode=mode)
    assert len(expected) > 8
    assert links_of(tracks) == expected
    if mode == "greedy_nodiv":
        assert (tracks["parent_track_id"] == -1).all()


@installed
def test_the_scores_of_the_links_are_their_reliability(one, model):
    tracks = run(one, model)
    linked = tracks["parent_id"] >= 0
    assert tracks.loc[linked, "reliability"].between(0.5, 1).all()
    assert tracks.loc[linked, "reliability"].nunique() > 4
    assert (tracks.loc[~linked, "reliability"] == 1).all()


@installed
def test_the_weights_are_recorded_and_other_weights_link_anew(one, model, tmp_path):
    from napari_dynaclr.core.weight_files import sha256

    run(one, model)
    assert one.workspace.runs()[-1]["weights_sha256"] == [sha256(model / "model.pt")]
    key = one.workspace.key("tracks", one.fovs[0])
    run(one, write_trackastra(model, seed=2))
    assert one.workspace.key("tracks", one.fovs[0]) != key


@installed
def test_no_link_is_longer_than_allowed(one, model):
    longest = []
    for limit in (0.0, 4.0):
        tracks = run(one, model, max_distance=limit)
        by_id = tracks.set_index("id")[["z", "y", "x"]].to_numpy() * np.array(one.fovs[0].scale)
        place = dict(zip(tracks["id"], by_id, strict=True))
        linked = tracks[tracks["parent_id"] >= 0]
        steps = [
            np.linalg.norm(place[a] - place[b])
            for a, b in zip(linked["parent_id"], linked["id"], strict=True)
        ]
        longest.append(max(steps))
    assert longest[0] > 4 >= longest[1]


def with_labels(make_plate, labels):
    rng = np.random.default_rng(0)
    images = (rng.random(labels.shape) + labels).astype(np.float32)
    dataset = open_dataset(make_plate("movie.zarr", {"A/1/0": images[:, None]}))
    path = make_plate("labels.zarr", {"A/1/0": labels[:, None]})
    segment(dataset, parse("segment", "import", {"path": str(path)}))
    return dataset


@installed
def test_an_empty_frame_in_the_middle_ends_all_tracks_there(make_plate, model):
    labels = np.zeros((6, 1, 40, 40), np.uint32)
    for t in (0, 1, 2, 4, 5):
        labels[t, 0, 5:15, 5:15] = 4_000_000_000  # the labels of other tools may be any number
        labels[t, 0, 25:35, 25:35] = 2
    tracks = run(with_labels(make_plate, labels), model)
    assert len(tracks) == 10
    spans = tracks.groupby("track_id")["t"].agg(["min", "max"])
    assert not ((spans["min"] < 3) & (spans["max"] > 3)).any()


@installed
def test_one_frame_only_gives_each_cell_a_track(make_plate, model):
    labels = np.zeros((1, 1, 40, 40), np.uint16)
    labels[0, 0, 5:15, 5:15], labels[0, 0, 25:35, 25:35] = 1, 2
    tracks = run(with_labels(make_plate, labels), model)
    assert tracks["track_id"].tolist() == [1, 2]


@installed
def test_stacks_need_a_model_of_three_dimensions(make_plate, model, tmp_path):
    labels = np.zeros((3, 2, 40, 40), np.uint16)
    labels[:, :, 5:15, 5:15] = 1
    dataset = with_labels(make_plate, labels)
    with pytest.raises(InvalidInput, match="has 2 slices"):
        run(dataset, model)
    solid = write_trackastra(tmp_path / "solid", coord_dim=3, feat_dim=12)
    assert len(run(dataset, solid)) == 3


class Evil:
    def __reduce__(self):
        return (print, ("this ran",))


def spoil_config(folder, **changed):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, **changed}))


BAD = {
    "lacks model.pt": lambda f: (f / "model.pt").unlink(),
    "holds no plain weights": lambda f: (f / "model.pt").write_bytes(pickle.dumps(Evil())),
    "another network": lambda f: spoil_config(f, d_model=64),
    "describes no Trackastra model": lambda f: spoil_config(f, layers=3),
    "takes 9 features": lambda f: spoil_config(f, feat_dim=9),
    "cannot be read": lambda f: (f / "config.yaml").write_text("!!python/object/apply:print [x]"),
    "holds no settings": lambda f: (f / "config.yaml").write_text("- 3"),
    "features of another network": lambda f: (f / "train_config.yaml").write_text(
        "features: pretrained_feats"
    ),
}


@installed
@pytest.mark.parametrize("line", BAD)
def test_another_model_is_one_line_and_runs_nothing(one, model, line, capsys):
    BAD[line](model)
    with pytest.raises(InvalidInput, match=line) as caught:
        run(one, model)
    assert "\n" not in str(caught.value)
    assert "this ran" not in capsys.readouterr().out


@installed
def test_it_says_nothing_and_leaves_the_log_alone(one, model, capfd):
    import logging

    handlers = logging.getLogger().handlers[:]
    level = logging.getLogger().level
    run(one, model, mode="ilp")
    assert logging.getLogger().handlers == handlers
    assert logging.getLogger().level == level
    assert capfd.readouterr() == ("", "")


@installed
def test_offline_the_model_to_get_is_named(one, monkeypatch, tmp_path):
    import requests

    def unreachable(url, **_about):
        raise requests.ConnectionError(url)

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(requests, "get", unreachable)
    with pytest.raises(InvalidInput, match=r"general_2d cannot be downloaded.*unzip.*folder="):
        track(one, parse("track", "trackastra", {"device": "cpu"}))


@pytest.fixture
def published(model, monkeypatch, tmp_path):
    """The folder that published models come to, with the small one in place of the real one."""
    import io
    import zipfile

    import requests

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in model.iterdir():
            archive.write(file, f"general_2d/{file.name}")

    class Answer:
        def __init__(self):
            self.headers = {"content-length": str(len(packed.getvalue()))}

        def iter_content(self, chunk_size):
            yield packed.getvalue()

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(requests, "get", lambda _url, **_about: Answer())
    return tmp_path / "home" / "trackastra" / "models"


@installed
def test_a_download_that_breaks_off_leaves_nothing_behind(published, monkeypatch):
    import shutil

    def killed(*_places):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(shutil, "move", killed)
        model_folder("general_2d", "", Job())
    assert list(published.iterdir()) == []
    assert model_folder("general_2d", "", Job()) == published / "general_2d"
    assert [one.name for one in published.iterdir()] == ["general_2d"]


@installed
def test_a_published_model_that_is_not_whole_is_to_be_deleted(published):
    (published / "general_2d").mkdir(parents=True)
    with pytest.raises(InvalidInput, match=r"lacks model.pt.*delete it, to have it downloaded"):
        model_folder("general_2d", "", Job())


@installed
def test_a_published_model_is_fetched_through_its_own_loader_with_progress(one, model, published):
    said = []
    tracks = track(
        one, parse("track", "trackastra", {"device": "cpu"}), Job(lambda p: said.append(p.text))
    )
    assert "download Trackastra's general_2d" in said
    assert (published / "general_2d" / "model.pt").is_file()
    assert links_of(tracks) == links_of(run(one, model))


@installed
def test_a_channel_that_is_not_there_is_one_line(one, model):
    with pytest.raises(InvalidInput, match="no channel 'Red'"):
        run(one, model, channel="Red")


def test_without_the_package_the_extra_is_named(one, monkeypatch, tmp_path):
    pytest.importorskip("torch")
    monkeypatch.setitem(sys.modules, "trackastra", None)
    for name in [n for n in sys.modules if n.startswith("trackastra.")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"napari-dynaclr\[trackastra\]"):
        track(one, parse("track", "trackastra", {"device": "cpu"}))


def test_greedy_takes_the_best_first_and_never_merges():
    links = np.array([[0, 2], [1, 2], [0, 3], [0, 4], [1, 4], [1, 5]])
    scores = np.array([0.9, 0.95, 0.8, 0.7, 0.6, 0.4])
    assert sorted(greedy(links, scores, 2)) == [1, 2, 3]
    assert sorted(greedy(links, scores, 1)) == [1, 2]
    assert len(greedy(np.zeros((0, 2), np.int64), np.zeros(0), 2)) == 0
