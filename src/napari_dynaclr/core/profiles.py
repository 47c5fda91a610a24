"""What every method that profiles wells shares: its settings, its contract, and what is kept.

A profile is one vector for each field of view and time point, pooled to wells and conditions.
Where the vectors come from is a method's business; all else is the stage's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from pydantic import Field, field_validator

from napari_dynaclr.core.conditions import plate_name
from napari_dynaclr.core.errors import DynaclrError, InvalidInput, MissingInput
from napari_dynaclr.core.params import Params, check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import anndata as ad
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job

LEVELS = ("field", "well_time", "well", "condition")
"""What a profile is pooled to, from the finest to the coarsest."""

Level = Literal["field", "well_time", "well", "condition"]


@dataclass(frozen=True)
class Profiler:
    """A method at work on one plate: what its module's ``open_profiler`` gives.

    Attributes
    ----------
    field_vectors
        From FOV and job to (t, vector of shape (D,) float32, number of cells) of each time
        point, in order; the number is 0 where no cells are told apart. Time points that have
        no vector are left out.
    columns
        Describes the vectors of a FOV, a row per dimension; its index has their names.
    inputs
        Keys of the earlier results that the vectors of a FOV are made from, by name, as
        :meth:`~napari_dynaclr.core.workspace.Workspace.require` returns them.
    source
        What is profiled, in the user's words, such as "embedding 'features'".
    weights
        Hashes of the weights that the vectors depend on.
    about
        What else is to be kept with the profile, by name.
    """

    field_vectors: Callable[[Fov, Job], Iterator[tuple[int, NDArray[np.float32], int]]]
    columns: Callable[[Fov], pd.DataFrame]
    inputs: Callable[[Fov], dict[str, str]]
    source: str
    weights: tuple[str, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)


class ProfileParams(Params):
    """Settings of everything that profiles wells.

    A method's own settings are fields of a subclass, and say where vectors come from; its
    module has ``open_profiler(dataset, params, job)``, a context manager that gives a
    :class:`Profiler`. It is opened once per plate.
    """

    conditions: str = Field(
        "",
        title="Conditions",
        description="CSV that says which well is under which condition: columns well (such as "
        "A/1) or fov_name, and condition; with several plates a column plate, if they differ. It "
        "is kept in the workspace; without one, each row of the plate is a condition.",
        json_schema_extra={
            "path": "file",
            "filter": "CSV (*.csv)",
            "left_out": "the table given before, or rows of the plate",
        },
    )
    across_fields: Literal["mean", "concatenate"] = Field(
        "mean",
        title="Fields of a well",
        description="How fields make a well: mean, or concatenate, which keeps the place of each "
        "and needs 9 or 16 fields in a square (16 are interpolated to 9).",
    )
    standardize: Literal["none", "plate", "controls"] = Field(
        "none",
        title="Standardise",
        description="Scale every dimension, plate by plate: to zero mean and unit variance over "
        "the plate's fields, or over those of the control condition. Engineered features with "
        "their different units need one of the two.",
    )
    controls: str = Field(
        "",
        title="Control condition",
        description="The condition that profiles are scaled to, if that is the controls.",
        json_schema_extra={"advanced": True},
    )
    field_order: Literal["auto", "rows", "snake"] = Field(
        "auto",
        title="Order of the fields",
        description="Where fields lie in their well, to concatenate them: auto reads their "
        "places from the dataset; rows: by number from the upper left, row by row; snake: every "
        "other row from the right.",
        json_schema_extra={"advanced": True},
    )
    also: tuple[str, ...] = Field(
        (),
        title="Further plates",
        description="Paths of further plates to profile together with this one.",
        json_schema_extra={"advanced": True},
    )
    alpha: float = Field(
        1.0,
        title="Alignment (alpha)",
        description="Pulls the same well of several plates together: 1 not at all, 0 entirely. "
        "It takes for granted that the same well has the same treatment on every plate, so "
        "what is aligned can no longer be evaluated.",
        ge=0.0,
        le=1.0,
        json_schema_extra={"advanced": True},
    )
    map: Literal["phate", "umap", "none"] = Field(
        "phate",
        title="Map",
        description="Map of the profiles besides their principal components, where there are "
        "enough of them.",
        json_schema_extra={"advanced": True},
    )
    name: str = Field(
        "",
        title="Name",
        description="What the profile is kept as; that of its source if left out.",
        json_schema_extra={"advanced": True},
    )

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        return check_name(name) if name else name

    def kept_as(self) -> str:
        """Name that the profile is kept under; a method says what it is if none is given."""
        return self.name

    def of_vectors(self) -> Params:
        """Return the settings that the vectors depend on; those of the pooling are as usual."""
        shared = ProfileParams.model_fields
        return self.model_copy(update={name: one.default for name, one in shared.items()})


def read_profile(
    dataset: Dataset, name: str, level: Literal["field", "well_time", "well"]
) -> ad.AnnData:
    """Read the profiles of a dataset that are up to date.

    Parameters
    ----------
    dataset
        The dataset, or FOVs of it.
    name
        Of the profile.
    level
        One of :data:`LEVELS`; conditions are never of some FOVs only.

    Returns
    -------
    anndata.AnnData
        A row per profile: all that the profile holds, of further plates too. Where only some
        of the FOVs that were profiled are chosen, the rows of these.

    Raises
    ------
    MissingInput
        If a FOV has not been profiled, or its vectors or those of a further plate are out of
        date.
    InvalidInput
        If a well is to be taken of which only some fields are chosen.
    """
    for fov in dataset.fovs:
        dataset.workspace.require(f"profiles.{name}", fov, f"profile '{name}'", "profile")
    found = dataset.workspace.profiles(name, level)
    for plate in outdated_plates(found):
        raise MissingInput(f"profile '{name}' (of plate {plate})", "profile", old=True)
    fields = found if level == "field" else dataset.workspace.profiles(name, "field")
    chosen = _chosen(dataset, profile_rows(fields), profile_rows(found), level)
    return found if chosen is None else found[chosen].copy()


def _chosen(
    dataset: Dataset, fields: pd.DataFrame, rows: pd.DataFrame, level: str
) -> NDArray[np.bool_] | None:
    """Say which profiles are of the FOVs of a dataset; None where it has all that are profiled."""
    plate = plate_name(dataset)
    here = fields[fields["plate"] == plate]
    left_out = here[~here["fov_name"].isin(dataset.fov_names)]
    if left_out.empty:
        return None
    mine = rows["plate"] == plate
    if level == "field":
        return (mine & rows["fov_name"].isin(dataset.fov_names)).to_numpy(bool)
    cut = left_out[left_out["well"].isin(dataset.wells)]
    if len(cut):
        raise InvalidInput(
            f"The profile of well {cut['well'].iloc[0]} is of all its fields, and FOV "
            f"{cut['fov_name'].iloc[0]} was not chosen: choose whole wells, or compare fields "
            "(level=field)."
        )
    return (mine & rows["well"].isin(dataset.wells)).to_numpy(bool)


def made_of(plates: Mapping[str, Mapping[str, Mapping[str, str]]]) -> str:
    """Return what a profile is to keep of further plates, for :func:`outdated_plates`.

    Parameters
    ----------
    plates
        By path: keys of the earlier results that each FOV's vectors were made from, by name.
    """
    return json.dumps(plates)


def outdated_plates(profile: ad.AnnData) -> tuple[str, ...]:
    """Names of further plates of a profile of which something was made anew since.

    Plates that cannot be opened, as on a disk that is not there, cannot be asked and are not
    among them.
    """
    from napari_dynaclr.core.dataset import open_dataset

    found = []
    for path, fovs in json.loads(str(profile.uns.get("further_plates", "{}"))).items():
        try:
            plate = open_dataset(path)
        except DynaclrError:
            continue
        there = set(plate.fov_names)
        for fov, inputs in fovs.items():
            if fov in there and any(
                plate.workspace.key(result, plate[fov]) != key
                or plate.workspace.outdated(result, plate[fov])
                for result, key in inputs.items()
            ):
                found.append(plate_name(plate))
                break
    return tuple(found)


def refuse_aligned(profile: ad.AnnData, name: str) -> None:
    """Refuse to evaluate what was aligned between plates.

    Alignment tells every well what the same well of the other plates looks like, test wells
    those of training (sslprofiler.txt, Section 3.3.3): a score would be of the layout.

    Raises
    ------
    InvalidInput
        If it was.
    """
    if bool(profile.uns["aligned"]):
        raise InvalidInput(
            f"Profile '{name}' was aligned between plates, which shows each well the answers of "
            "the others: evaluate one that was not (profile --alpha 1)."
        )


def profile_rows(profile: ad.AnnData) -> pd.DataFrame:
    """Return what is known of each profile: its plate, well, field, time and condition."""
    return cast("pd.DataFrame", profile.obs).reset_index(drop=True)


def missing_profile(name: str) -> MissingInput:
    """Return the error that says that a profile is not there."""
    return MissingInput(f"profile '{name}'", "profile")
