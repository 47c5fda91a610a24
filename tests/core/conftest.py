"""Tiny OME-Zarr written by hand, in every variety that the core has to read."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEFAULT_UNITS = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}


@pytest.fixture(autouse=True)
def _plain_zarr():
    """Write with Zarr's own codecs: iohub, once imported, switches the whole process."""
    plain = "zarr.core.codec_pipeline.BatchedCodecPipeline"
    with zarr.config.set({"codec_pipeline.path": plain}):
        yield


def make_pixels(shape: tuple[int, ...], seed: int = 0, dtype: str = "u2") -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 60_000, shape).astype(dtype)


def _write_group(path: Path, version: str, attributes: dict[str, Any]) -> zarr.Group:
    group = zarr.open_group(path, mode="a", zarr_format=3 if version == "0.5" else 2)
    group.attrs.update(
        {"ome": {"version": version, **attributes}} if version == "0.5" else attributes
    )
    return group


def _write_image(
    path: Path,
    data: np.ndarray,
    *,
    axes: str = "tczyx",
    version: str = "0.4",
    channels: list[str] | None = None,
    scale: list[float] | None = None,
    units: dict[str, str] | None = None,
    chunks: tuple[int, ...] | None = None,
    compressors: Any = "auto",
    attributes: dict[str, Any] | None = None,
) -> Path:
    known = DEFAULT_UNITS if units is None else units
    described = [{"name": a, **({"unit": known[a]} if a in known else {})} for a in axes]
    ome: dict[str, Any] = {
        "multiscales": [
            {
                "version": version,
                "axes": described,
                "datasets": [
                    {
                        "path": "0",
                        "coordinateTransformations": [
                            {"type": "scale", "scale": scale or [1.0] * len(axes)}
                        ],
                    }
                ],
            }
        ]
    }
    if channels is not None:
        ome["omero"] = {"channels": [{"label": name} for name in channels]}
    group = _write_group(path, version, ome)
    group.attrs.update(attributes or {})
    extra = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if version == "0.4" else {}
    array = group.create_array(
        "0",
        shape=data.shape,
        dtype=data.dtype,
        chunks=chunks or tuple(1 if a in "tcz" else n for a, n in zip(axes, data.shape)),  # noqa: B905
        compressors=compressors,
        **extra,
    )
    array[...] = data
    return path


def _write_plate(path: Path, fovs: dict[str, Any], version: str = "0.4", **image: Any) -> Path:
    """``fovs``: name -> pixels, or None to leave the position's folder out."""
    wells = list(dict.fromkeys(name.rpartition("/")[0] for name in fovs))
    rows = list(dict.fromkeys(well.split("/")[0] for well in wells))
    columns = list(dict.fromkeys(well.split("/")[1] for well in wells))
    about = {
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": column} for column in columns],
        "wells": [
            {
                "path": well,
                "rowIndex": rows.index(well.split("/")[0]),
                "columnIndex": columns.index(well.split("/")[1]),
            }
            for well in wells
        ],
    }
    _write_metadata(path, version, {"plate": {"version": version, **about}})
    for well in wells:
        images = [{"path": name.rpartition("/")[2]} for name in fovs if name.startswith(f"{well}/")]
        _write_metadata(path / well, version, {"well": {"version": version, "images": images}})
    for row in rows:
        _write_metadata(path / row, version, {})
    for name, pixels in fovs.items():
        if pixels is not None:
            _write_image(path / name, pixels, version=version, **image)
    return path


def _write_metadata(path: Path, version: str, ome: dict[str, Any]) -> None:
    """Group metadata without zarr: many wells are written in no time."""
    path.mkdir(parents=True, exist_ok=True)
    if version == "0.5":
        attributes = {"ome": {"version": version, **ome}} if ome else {}
        about = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        (path / "zarr.json").write_text(json.dumps(about))
    else:
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        (path / ".zattrs").write_text(json.dumps(ome))


def _snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        path.relative_to(folder).as_posix(): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in [folder, *folder.rglob("*")]
    }


@pytest.fixture(scope="session")
def pixels() -> Callable[..., np.ndarray]:
    """Random pixels of a shape, none of them zero."""
    return make_pixels


@pytest.fixture(scope="session")
def write_group() -> Callable[..., zarr.Group]:
    return _write_group


@pytest.fixture(scope="session")
def write_image() -> Callable[..., Path]:
    return _write_image


@pytest.fixture(scope="session")
def write_plate() -> Callable[..., Path]:
    return _write_plate


@pytest.fixture(scope="session")
def snapshot() -> Callable[[Path], dict[str, tuple[int, str]]]:
    """Every file and folder with its time of change and content."""
    return _snapshot


@pytest.fixture
def chunk_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the chunks read from any local store, in order."""
    keys: list[str] = []
    plain = LocalStore.get

    async def counted(self: LocalStore, key: str, *args: Any, **kwargs: Any) -> Any:
        found = await plain(self, key, *args, **kwargs)
        if found is not None and not key.rpartition("/")[2].startswith((".z", "zarr.json")):
            keys.append(f"{self.root}/{key}")
        return found

    monkeypatch.setattr(LocalStore, "get", counted)
    return keys
