"""Logistic regression on the embedding (dynaclr.txt, 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from napari_dynaclr.core.params import Params

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline


class LinearParams(Params):
    """Settings of the linear classifier."""

    task: str = Field(
        "infection",
        title="Task",
        description="Which annotations to learn: infection, division or your own.",
        min_length=1,
        pattern=r"^\w[\w-]*$",
        json_schema_extra={"choices": "tasks"},
    )
    embedding: str = Field(
        "features",
        title="Embedding",
        description="Which embedding to classify on.",
        json_schema_extra={"choices": "embeddings"},
    )
    strength: float = Field(
        1.0,
        title="Strength (C)",
        description="Less than 1 trusts few annotations less and gives smoother decisions.",
        gt=0,
        le=1e6,
        json_schema_extra={"advanced": True},
    )
    class_weight: Literal["balanced", "none"] = Field(
        "balanced",
        title="Class weights",
        description="Let rare states count as much as frequent ones, or every click the same.",
    )
    folds: int = Field(
        5,
        title="Folds",
        description="Parts of the cross-validation.",
        ge=2,
        le=100,
        json_schema_extra={"advanced": True},
    )
    learn_from: tuple[str, ...] = Field(
        (),
        title="Learn from",
        description="FOVs, wells or patterns whose annotations are learnt; all if none is named.",
    )


def fit(vectors: NDArray[np.float32], states: NDArray[np.str_], params: LinearParams) -> Pipeline:
    """Fit scaler and classifier together, so that a split never leaks into the scaler.

    Parameters
    ----------
    vectors
        Embedding of the annotated cells, (N, D).
    states
        Their states, (N,).
    params
        Settings.
    """
    # Here, since it takes a second to import, and a form needs the settings only.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    weight = None if params.class_weight == "none" else params.class_weight
    model = make_pipeline(
        StandardScaler(),
        LogisticRegression(C=params.strength, class_weight=weight, max_iter=5000),
    )
    return model.fit(vectors, states)
