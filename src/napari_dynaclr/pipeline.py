"""The whole chain from one YAML file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.registry import STAGES, Method, find_method

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.params import Params


@dataclass(frozen=True)
class Step:
    """One stage with its settings."""

    method: Method
    params: Params


def read_pipeline(path: str | Path) -> list[Step]:
    """Read the steps of a pipeline; all settings are checked before anything runs.

    The file is a list of stages, each by itself or with settings; ``method`` names
    the method::

        - segment: {channel: Nuclei, diameter: 14}
        - track
        - embed
        - project: {method: pca}

    Raises
    ------
    InvalidInput
        If the file cannot be read, or a stage, method or setting is unknown.
    """
    import yaml

    file = Path(path).expanduser()
    try:
        entries = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise InvalidInput(f"{file} is no file: check the path of the pipeline.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput(f"{file} is not a YAML file: {reason}.") from None
    if not isinstance(entries, list) or not entries:
        raise InvalidInput(f"{file}: a pipeline is a list of stages ({', '.join(STAGES)}).")
    return [_step(file, number, entry) for number, entry in enumerate(entries, start=1)]


def _step(file: Path, number: int, entry: Any) -> Step:
    if isinstance(entry, str):
        entry = {entry: {}}
    if not isinstance(entry, dict) or len(entry) != 1:
        raise InvalidInput(f"{file}, step {number}: write 'stage' or 'stage: {{settings}}'.")
    stage, settings = next(iter(entry.items()))
    settings = {} if settings is None else settings
    if not isinstance(settings, dict):
        raise InvalidInput(f"{file}, step {number}: the settings of '{stage}' are no mapping.")
    try:
        if stage not in STAGES:
            raise InvalidInput(f"there is no stage '{stage}': choose from {', '.join(STAGES)}.")
        method = find_method(stage, settings.pop("method", None))
        return Step(method, method.params_class().parse(settings))
    except InvalidInput as error:
        raise InvalidInput(f"{file}, step {number}: {error}") from None


def run_pipeline(dataset: Dataset, steps: list[Step], job: Job | None = None) -> dict[str, Any]:
    """Run steps one after the other; what is complete already is not done again.

    Returns
    -------
    dict
        Stage -> what its last step returned.

    Raises
    ------
    DynaclrError
        If a step cannot be done; the steps before it are kept.
    """
    job = job or Job()
    results: dict[str, Any] = {}
    for step in job.track(steps, "pipeline"):
        results[step.method.stage] = step.method.verb()(dataset, step.params, job)
    return results
