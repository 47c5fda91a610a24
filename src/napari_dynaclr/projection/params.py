"""What the settings of all projections share."""

from __future__ import annotations

from pydantic import Field

from napari_dynaclr.core.params import Params


class ProjectionParams(Params):
    """Settings of a projection."""

    embedding: str = Field(
        "features",
        title="Embedding",
        description="Which embedding to map.",
        json_schema_extra={"choices": "embeddings"},
    )
