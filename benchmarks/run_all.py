"""Run every benchmark; the figures go to the terminal."""

from __future__ import annotations

import embedding
import map as linked_map
import memory
import patches
import reads
import staining
import tracking
import window

if __name__ == "__main__":
    reads.main()
    patches.main()
    tracking.main([])
    memory.main()
    embedding.main([])
    staining.main([])
    linked_map.main()
    window.main()
