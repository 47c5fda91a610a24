from __future__ import annotations

import sys

import pytest
from pydantic_core import PydanticUndefined

from napari_dynaclr.core import registry
from napari_dynaclr.core.errors import InvalidInput, MissingExtra
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.registry import (
    COMPOSED,
    MAKERS,
    METHODS,
    STAGES,
    Method,
    find_method,
    methods,
    parse,
    resolve,
)

EVERY = pytest.mark.parametrize("method", METHODS, ids=lambda m: f"{m.stage}-{m.name}")


@pytest.fixture
def params_class(method):
    try:
        return method.params_class()
    except MissingExtra as error:
        pytest.skip(str(error))


def refusal(function, *args):
    with pytest.raises(InvalidInput) as caught:
        function(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@EVERY
def test_every_method_loads_and_its_stage_can_be_called(method, params_class):
    assert issubclass(params_class, Params)
    assert callable(method.verb())
    assert method.verb().__name__ == method.stage


@EVERY
def test_every_field_is_titled_and_described_for_form_and_help(method, params_class):
    for name, field in params_class.model_fields.items():
        assert field.title, f"{params_class.__name__}.{name} has no title"
        assert field.description, f"{params_class.__name__}.{name} has no description"


@EVERY
def test_every_default_is_allowed_and_goes_into_a_record(method, params_class):
    required = {
        name: "some/path"
        for name, field in params_class.model_fields.items()
        if field.is_required()
    }
    assert PydanticUndefined not in params_class.parse(required).model_dump().values()
    made = params_class.parse(required)
    assert params_class.parse(made.model_dump(mode="json")) == made


@EVERY
def test_every_method_is_found_by_name_and_by_its_params(method, params_class):
    assert find_method(method.stage, method.name) is method
    required = {n: "some/path" for n, f in params_class.model_fields.items() if f.is_required()}
    params = params_class.parse(required)
    assert resolve(method.stage, params) == (method, params)


def test_names_are_unique_and_titles_there():
    assert len({(method.stage, method.name) for method in METHODS}) == len(METHODS)
    assert all(method.title for method in METHODS)


def test_stages_stand_in_the_order_of_the_pipeline():
    assert STAGES == (
        "stain", "segment", "track", "correct", "train", "find", "embed", "project", "profile",
        "annotate", "classify", "evaluate",
    )  # fmt: skip
    assert not {*MAKERS, *COMPOSED} & set(STAGES)


def test_the_first_method_is_the_default():
    assert find_method("track") is methods("track")[0]
    assert find_method("track").name == "assignment"
    method, params = resolve("track", None)
    assert method is find_method("track")
    assert params == parse("track", None, {})


def test_unknown_stages_get_a_suggestion_or_the_list():
    assert refusal(methods, "trak") == "There is no stage 'trak': did you mean 'track'?"
    assert refusal(methods, "zzz").endswith(f"there are {', '.join(STAGES)}.")


def test_unknown_methods_get_a_suggestion_or_the_list():
    assert refusal(find_method, "track", "laptrak") == (
        "There is no method of 'track' 'laptrak': did you mean 'laptrack'?"
    )
    assert "there are assignment, flow, laptrack" in refusal(find_method, "track", "zzz")


def test_the_settings_of_another_stage_are_refused():
    said = refusal(resolve, "track", parse("project", "pca", {}))
    assert said.startswith("PcaParams are not the settings of a method of 'track'")
    assert "AssignmentParams, FlowParams, LapTrackParams" in said


def test_parse_refuses_values_that_are_not_allowed():
    assert "unknown setting 'nonsense'" in refusal(parse, "track", "laptrack", {"nonsense": 1})


def test_a_missing_package_of_an_extra_names_the_cure(monkeypatch):
    monkeypatch.delitem(sys.modules, "napari_dynaclr.projection.umap", raising=False)
    monkeypatch.setattr(registry, "import_module", _without("umap"))
    with pytest.raises(MissingExtra, match=r"napari-dynaclr\[umap\]") as caught:
        find_method("project", "umap").load()
    assert (caught.value.package, caught.value.extra) == ("umap", "umap")


def test_a_missing_package_of_no_extra_is_a_broken_installation(monkeypatch):
    monkeypatch.setattr(registry, "import_module", _without("scipy"))
    with pytest.raises(ModuleNotFoundError):
        find_method("project", "pca").load()


def test_a_missing_module_of_ours_is_not_blamed_on_an_extra():
    with pytest.raises(ModuleNotFoundError, match="napari_dynaclr"):
        Method("project", "x", "X", "projection.not_there", "XParams", "umap").load()


def _without(package):
    def load(name):
        raise ModuleNotFoundError(f"No module named '{package}'", name=package)

    return load
