"""Dataset: lazy, read-only access to an OME-Zarr time-lapse.

Reads OME-Zarr 0.4 and 0.5: an HCS plate, a well, one position, or a bare
multiscale image. Opening a plate reads the plate's metadata only; a position's
metadata is read when that position is first used.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.fov import Fov
from napari_dynaclr.core.multiscale import ome_attributes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_dynaclr.core.workspace import Workspace

SINGLE_FOV = "0/0/0"
"""Name given to an image that is not part of a plate, in the plate's notation."""


class Dataset:
    """An OME-Zarr time-lapse of one or many FOVs, and the workspace of its results.

    Parameters
    ----------
    root
        The outermost group: the plate, or the image itself.
    folders
        Folder of each FOV relative to ``root``; None to list a plate's FOVs when
        first needed.
    workspace
        Folder for results; ``<root stem>.dynaclr`` beside the dataset by default.
    """

    def __init__(
        self,
        root: Path,
        folders: dict[str, str] | None = None,
        workspace: Path | None = None,
    ) -> None:
        self.root = root
        self._folders = folders
        self._workspace_path = workspace or beside(root)
        self.whole: Dataset = self
        """All FOVs that were opened, whatever was selected from them since."""
        self.pooled: dict[str, dict[str, float]] = {}
        """Statistics over all FOVs by channel, once they are known."""
        self.pooled_partly: dict[str, dict[str, float]] = {}
        """The same where some time points cannot be read, for those who do without."""

    def __repr__(self) -> str:
        return f"Dataset({str(self.root)!r})"

    @cached_property
    def workspace(self) -> Workspace:
        """Results of this dataset; nothing is written before a stage runs."""
        from napari_dynaclr.core.workspace import Workspace

        return Workspace(self._workspace_path, source=self.root)

    @cached_property
    def _paths(self) -> dict[str, str]:
        return _plate_fovs(self.root) if self._folders is None else self._folders

    @property
    def fov_names(self) -> list[str]:
        """Names ``row/column/fov`` in the plate's order."""
        return list(self._paths)

    @property
    def wells(self) -> list[str]:
        """Names ``row/column`` of the wells, each once."""
        return list(dict.fromkeys(name.rpartition("/")[0] for name in self._paths))

    @cached_property
    def _fovs(self) -> dict[str, Fov]:
        stain = self._workspace_path / "stain.zarr"
        fovs = {
            name: Fov(
                self.root / folder,
                name,
                Fov(stain / name, name) if (stain / name).is_dir() else None,
            )
            for name, folder in self._paths.items()
        }
        for fov in fovs.values():
            fov.is_only = len(self.whole.fov_names) == 1
        return fovs

    def refresh(self) -> None:
        """Look again at what there is of every FOV, after a stage has added channels."""
        for one in (self, self.whole):
            one.__dict__.pop("_fovs", None)
            one.pooled.clear()
            one.pooled_partly.clear()

    @property
    def fovs(self) -> list[Fov]:
        """All FOVs; the metadata of each is read when it is first used."""
        return list(self._fovs.values())

    def __getitem__(self, name: str) -> Fov:
        """Return the FOV called ``row/column/fov``."""
        try:
            return self._fovs[name]
        except KeyError:
            raise InvalidInput(
                f"{self.root.name} has no FOV '{name}': there are {_some(self.fov_names)}."
            ) from None

    @property
    def channels(self) -> list[str]:
        """Channel names of the first FOV."""
        if not self._paths:
            raise InvalidInput(f"{self.root} has no FOV in it: choose another dataset.")
        return self.fovs[0].channels

    @property
    def source_channels(self) -> list[str]:
        """Channel names of the first FOV, without those made by virtual staining."""
        return [name for name in self.channels if name in self.fovs[0].source_channels]

    def select(self, patterns: Iterable[str]) -> Dataset:
        """Restrict to some FOVs, sharing the same workspace.

        Parameters
        ----------
        patterns
            FOV names, or wells, or patterns such as ``B/*``.

        Raises
        ------
        InvalidInput
            If a pattern matches nothing.
        """
        chosen: dict[str, str] = {}
        for pattern in patterns:
            hits = [
                n for n in self._paths if fnmatchcase(n, pattern) or n.startswith(f"{pattern}/")
            ]
            if not hits:
                raise InvalidInput(
                    f"{self.root.name} has no FOV '{pattern}': there are {_some(self.fov_names)}."
                )
            chosen.update((name, self._paths[name]) for name in hits)
        ordered = {name: path for name, path in self._paths.items() if name in chosen}
        chosen_only = Dataset(self.root, ordered, self._workspace_path)
        chosen_only.whole = self.whole
        return chosen_only


def beside(root: Path) -> Path:
    """Where the results of the dataset at ``root`` are kept by default."""
    return root.with_name(root.name.removesuffix(".zarr").removesuffix(".ome") + ".dynaclr")


def open_dataset(path: str | Path, workspace: str | Path | None = None) -> Dataset:
    """Open an OME-Zarr dataset, read-only.

    Parameters
    ----------
    path
        An HCS plate, a well or position in it, or a bare multiscale image.
    workspace
        Folder for the results; beside the dataset, named ``*.dynaclr``, by default.
        A well or position of a plate shares the plate's workspace.

    Returns
    -------
    Dataset
        Lazy: only the outermost metadata has been read.

    Raises
    ------
    InvalidInput
        If the path is missing or holds no OME-Zarr image.
    """
    here = Path(path).expanduser().resolve()
    home = Path(workspace).expanduser().resolve() if workspace else None
    attributes = ome_attributes(here)
    if "plate" in attributes:
        return Dataset(here, None, home)
    if "well" in attributes:
        images = _entries(here, attributes["well"], "images")
        if _is_plate(here.parent.parent):
            well = f"{here.parent.name}/{here.name}"
            folders = {f"{well}/{fov}": f"{well}/{fov}" for fov in images}
            return Dataset(here.parent.parent, folders, home)
        return Dataset(here, {f"0/0/{fov}": fov for fov in images}, home)
    if "multiscales" in attributes:
        plate = here.parent.parent.parent
        name = here.relative_to(plate).as_posix()
        if _is_plate(plate):
            return Dataset(plate, {name: name}, home)
        return Dataset(here, {SINGLE_FOV: "."}, home)
    if "bioformats2raw.layout" in attributes:
        series = sorted((p.name for p in here.iterdir() if p.name.isdigit()), key=int)
        return Dataset(here, {f"0/0/{image}": image for image in series}, home)
    raise InvalidInput(
        f"{here} is a Zarr group without OME-Zarr metadata (plate, well or multiscales): "
        "choose the folder of the plate or of one image."
    )


def _is_plate(path: Path) -> bool:
    try:
        return "plate" in ome_attributes(path)
    except InvalidInput:
        return False


def _plate_fovs(root: Path) -> dict[str, str]:
    names: dict[str, str] = {}
    for well in _entries(root, ome_attributes(root)["plate"], "wells"):
        about = ome_attributes(root / well).get("well", {})
        for image in _entries(root / well, about, "images"):
            names[f"{well}/{image}"] = f"{well}/{image}"
    return names


def _entries(path: Path, about: Any, kind: str) -> list[str]:
    """Paths of the wells of a plate, or of the images of a well."""
    try:
        return [str(entry["path"]) for entry in about.get(kind, [])]
    except (AttributeError, KeyError, TypeError):
        raise InvalidInput(f"{path} has damaged OME metadata: its list of {kind}.") from None


def _some(names: Sequence[str], limit: int = 6) -> str:
    shown = ", ".join(names[:limit])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > limit else shown or "none"
