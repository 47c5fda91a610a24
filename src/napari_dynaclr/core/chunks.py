"""Chunks read from disk in one way only, damage noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zarr
from zarr.storage import LocalStore, WrapperStore

if TYPE_CHECKING:
    from pathlib import Path

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

# iohub switches the whole process to another pipeline, which refuses the big-endian
# pixels of bioformats2raw and would read past the store below.
_PIPELINE = {"codec_pipeline.path": "zarr.core.codec_pipeline.BatchedCodecPipeline"}

_BLOSC_HEADER = 16


class WholeChunks(WrapperStore[LocalStore]):
    """Local store that refuses a Blosc chunk shorter than its header says.

    Blosc is not told how many bytes it is given: it makes pixels of whatever lies
    in memory behind a chunk that was cut short.
    """

    blosc = False
    """Whether each chunk is one Blosc buffer."""

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read a chunk or metadata file.

        Raises
        ------
        ValueError
            If a chunk is cut short.
        """
        found = await super().get(key, prototype, byte_range)
        is_chunk = not key.rpartition("/")[2].startswith((".z", "zarr.json"))
        if self.blosc and found is not None and is_chunk:
            size = len(found)
            header = found[:_BLOSC_HEADER].to_bytes()
            whole = int.from_bytes(header[12:16], "little")
            if size < max(whole, _BLOSC_HEADER):
                raise ValueError(f"{key} ends after {size} bytes")
        return found


def open_chunks(path: Path) -> zarr.Array[Any]:
    """Open the Zarr array at ``path``, read-only."""
    store = WholeChunks(LocalStore(path, read_only=True))
    with zarr.config.set(_PIPELINE):
        array = zarr.open_array(store, mode="r")
    last = array.compressors[-1:]
    store.blosc = array.shards is None and any("Blosc" in type(codec).__name__ for codec in last)
    return array
