"""Downloads from a server on this machine that behaves well, and badly."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest

from napari_dynaclr import Job
from napari_dynaclr.core import download as downloads
from napari_dynaclr.core.errors import Cancelled, InvalidInput, MissingExtra
from napari_dynaclr.core.weights import (
    PRESETS,
    Preset,
    cache_folder,
    find_preset,
    get_weights,
    local_weights,
)

pytest.importorskip("pooch", reason="the extra 'torch' is not installed")
SIZE = 3 << 20


def make_archive(seed=0):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        # Without a time of its own: equal seeds give equal files, whenever they are made.
        entry = zipfile.ZipInfo("archive/data/0")
        file.writestr(entry, np.random.default_rng(seed).bytes(SIZE))
    return content.getvalue()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_arguments):
        pass

    def do_GET(self):
        how = self.server.how
        self.server.asked.append(self.headers.get("Range"))
        if how.status:
            self.send_error(how.status)
            return
        body, start = how.body, 0
        wanted = self.headers.get("Range")
        same = self.headers.get("If-Range") == how.etag
        if wanted and how.ranges and same:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if how.etag:
            self.send_header("ETag", how.etag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        stop = how.cut.pop(0) if how.cut else len(body)
        sent = body[start:stop]
        try:
            for i in range(0, len(sent), 1 << 18):
                self.wfile.write(sent[i : i + (1 << 18)])
            if how.stall:
                how.stall.wait(30)
        except OSError:  # the client has left
            pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server whose behaviour (``how``) a test sets, and a preset that is to be found there."""
    monkeypatch.setenv("NAPARI_DYNACLR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    running.asked = []
    running.how = SimpleNamespace(
        body=make_archive(), etag='"one"', ranges=True, status=0, cut=[], stall=None
    )
    running.preset = Preset("Test", "embed", f"http://127.0.0.1:{running.server_port}/a.ckpt", "x")
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def left():
    """What lies in the cache, but for locks and notes."""
    return sorted(p.name for p in cache_folder().iterdir() if p.suffix not in (".lock", ".json"))


def test_a_download_is_recorded_on_first_use_and_checked_and_offline_after(server):
    first = get_weights(server.preset)
    expected = hashlib.sha256(server.how.body).hexdigest()
    assert first.path.read_bytes() == server.how.body
    assert first.sha256 == expected
    assert first.told == (
        f"Test: sha256 {expected} recorded on first use; later uses are checked.",
    )
    assert left() == ["Test.ckpt"]

    server.how.status = 500  # as good as offline
    again = get_weights(server.preset)
    assert (again.path, again.sha256, again.told) == (first.path, expected, ())
    assert len(server.asked) == 1

    first.path.write_bytes(make_archive(1))
    with pytest.raises(InvalidInput, match=r"Test\.ckpt has changed since its first use on 20"):
        get_weights(server.preset)


def test_progress_is_told_in_megabytes(server):
    seen = []
    get_weights(server.preset, Job(seen.append))
    megabytes = [(p.done, p.total) for p in seen if p.text == "download Test (MB)"]
    assert megabytes[-1] == (3, 3)
    assert {done for done, _ in megabytes} == {0, 1, 2, 3}


def test_a_broken_connection_is_taken_up_where_it_broke_off(server):
    server.how.cut = [1 << 20, 2 << 20]
    assert get_weights(server.preset).path.read_bytes() == server.how.body
    assert server.asked[0] is None
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in server.asked[1:]]
    assert starts == [1 << 20, 2 << 20]


def test_after_too_many_breaks_the_next_run_goes_on(server):
    server.how.cut = [1 << 20, 5 << 18, 6 << 18]
    with pytest.raises(InvalidInput, match=r"broke off after 1\.5 MB: run it again to go on"):
        get_weights(server.preset)
    assert left() == ["Test.ckpt.part"]
    assert get_weights(server.preset).path.read_bytes() == server.how.body
    assert server.asked[-1] == f"bytes={6 << 18}-"
    assert left() == ["Test.ckpt"]


def test_a_server_without_ranges_is_asked_for_all_of_it_again(server):
    server.how.ranges, server.how.cut = False, [1 << 20]
    assert get_weights(server.preset).path.read_bytes() == server.how.body


def test_halves_of_two_files_are_not_put_together(server):
    server.how.cut = [1 << 20] * 3
    server.how.ranges = False
    with pytest.raises(InvalidInput, match="broke off"):
        get_weights(server.preset)
    server.how.body, server.how.etag = make_archive(7), '"two"'
    server.how.ranges, server.how.cut = True, []
    assert get_weights(server.preset).path.read_bytes() == server.how.body


def test_a_server_that_gives_no_version_is_not_trusted_with_the_rest(server):
    server.how.etag, server.how.cut = "", [1 << 20]
    assert get_weights(server.preset).path.read_bytes() == server.how.body
    assert server.asked == [None, None]


@pytest.mark.parametrize("damage", ["changed", "page", "short"])
def test_a_damaged_first_download_is_not_kept(server, damage):
    whole = server.how.body
    server.how.body = {
        "changed": whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:],
        "page": b"<html>maintenance</html>",
        "short": whole[: SIZE // 2],  # and the server says that this is all
    }[damage]
    with pytest.raises(InvalidInput, match="is damaged or no checkpoint, and was not kept"):
        get_weights(server.preset)
    assert left() == []
    server.how.body = whole
    assert get_weights(server.preset).path.read_bytes() == whole


def test_another_file_than_on_first_use_is_not_taken(server):
    path = get_weights(server.preset).path
    path.unlink()
    server.how.body = make_archive(1)
    with pytest.raises(InvalidInput, match="is another file than on first use"):
        get_weights(server.preset)
    assert left() == []
    server.how.body = make_archive(0)
    assert get_weights(server.preset).told == ()


def test_refusals_are_one_line(server):
    server.how.status = 404
    with pytest.raises(InvalidInput, match=r"a\.ckpt cannot be downloaded: the server says 404"):
        get_weights(server.preset)
    server.shutdown()
    server.server_close()
    with pytest.raises(InvalidInput, match=r"127\.0\.0\.1 cannot be reached\. Get http") as caught:
        get_weights(server.preset)
    assert "\n" not in str(caught.value)


def test_cancelling_is_quick_also_while_the_server_is_silent_and_it_goes_on_later(server):
    server.how.cut, server.how.stall = [1 << 20], threading.Event()
    job = Job()
    threading.Timer(0.5, job.cancel).start()
    start = time.monotonic()
    with pytest.raises(Cancelled):
        get_weights(server.preset, job)
    assert time.monotonic() - start < 2.5
    server.how.stall.set()
    server.how.stall = None
    assert get_weights(server.preset).path.read_bytes() == server.how.body
    assert server.asked == [None, f"bytes={1 << 20}-"]


def test_a_silent_server_is_given_up(server, monkeypatch):
    monkeypatch.setattr(downloads, "_TIMEOUT", (1.0, 0.3))
    server.how.cut, server.how.stall = [0], threading.Event()
    with pytest.raises(InvalidInput, match=r"cannot be downloaded: 127\.0\.0\.1 does not answer"):
        get_weights(server.preset)
    server.how.stall.set()


def test_two_at_once_download_it_once(server):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(get_weights(server.preset).sha256))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 3
    assert len(server.asked) == 1


def test_a_file_that_was_put_into_the_cache_by_hand_is_used(server):
    cache_folder().mkdir(parents=True)
    (cache_folder() / "Test.ckpt").write_bytes(server.how.body)
    assert get_weights(server.preset).told
    assert server.asked == []


def test_a_damaged_record_is_written_anew(server):
    get_weights(server.preset)
    record = cache_folder() / "Test.ckpt.json"
    record.write_text("{")
    assert get_weights(server.preset).told
    assert set(json.loads(record.read_text())) == {"sha256", "url", "first_used"}


def test_a_file_of_the_users_own(tmp_path):
    path = tmp_path / "mine.ckpt"
    path.write_bytes(make_archive())
    assert local_weights(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(InvalidInput, match="There is no weights file"):
        local_weights(tmp_path / "absent.ckpt")


def test_presets_are_found_by_name_and_use():
    assert find_preset("DynaCLR-DENV-VS+Ph", "embed").settings["patch_size"] == 160
    with pytest.raises(InvalidInput, match=r"did you mean 'DynaCLR-DENV-VS\+Ph'"):
        find_preset("DynaCLR-DENV", "embed")
    with pytest.raises(InvalidInput, match="there are simulated-cells, VSCyto2D, VSCyto3D"):
        find_preset("nothing", "stain")
    assert all(p.url.startswith(("https://", "package:")) for p in PRESETS.values())
    assert len({p.file_name for p in PRESETS.values()}) == len(PRESETS) == 11


def test_weights_that_come_with_the_package_need_no_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_DYNACLR_CACHE", str(tmp_path / "cache"))
    found = get_weights(PRESETS["simulated-infection"])
    assert 1e6 < found.path.stat().st_size < 8e6
    assert len(found.sha256) == 64
    assert not (tmp_path / "cache").exists()


def test_without_pooch_the_extra_is_named(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.delenv("NAPARI_DYNACLR_CACHE", raising=False)
    with pytest.raises(MissingExtra, match=r"napari-dynaclr\[torch\]"):
        get_weights(PRESETS["VSCyto2D"])
