from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError, field_validator, model_validator

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import Params


class Example(Params):
    diameter: float = Field(14.0, title="Diameter", description="Of a nucleus", ge=2, le=100)
    channel: str = Field("Nuclei", title="Channel", description="Where to look")
    mode: Literal["fast", "good"] = Field("good", title="Mode", description="How")
    rounds: int = Field(1, title="Rounds", description="How often", ge=1)

    @field_validator("channel")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("Give a name")
        return value


class Required(Params):
    path: str = Field(title="Path", description="A file")


class Together(Params):
    low: int = Field(0, title="Low", description="The lower")
    high: int = Field(9, title="High", description="The higher")

    @model_validator(mode="after")
    def _ordered(self):
        if self.high <= self.low:
            raise ValueError("Low has to be below high")
        return self


def message(kind, values):
    with pytest.raises(InvalidInput) as caught:
        kind.parse(values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_text_from_a_command_line_becomes_numbers():
    assert Example.parse({"diameter": "20", "rounds": "3"}) == Example(diameter=20.0, rounds=3)


def test_a_misspelt_setting_gets_a_suggestion():
    assert message(Example, {"diametre": 3}) == (
        "unknown setting 'diametre' (did you mean 'diameter'?)."
    )


def test_an_unknown_setting_gets_the_list():
    assert "known: diameter, channel, mode, rounds" in message(Example, {"qqq": 3})


def test_a_missing_setting_is_named():
    assert message(Required, {}) == "'path' is required."


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"diameter": 1}, "diameter = 1: input should be greater than or equal to 2"),
        ({"diameter": "wide"}, "diameter = 'wide': input should be a valid number"),
        ({"mode": "best"}, "mode = 'best': input should be 'fast' or 'good'"),
        ({"rounds": 1.5}, "rounds = 1.5: input should be a valid integer"),
        ({"channel": " "}, "channel = ' ': give a name"),
        ({"diameter": None}, "diameter = None: input should be a valid number"),
    ],
)
def test_a_bad_value_is_shown_with_the_reason(values, says):
    assert message(Example, values).startswith(says)


def test_settings_that_do_not_go_together_are_named_by_their_rule():
    assert message(Together, {"low": 9}) == "low has to be below high."


def test_all_bad_settings_are_named_at_once():
    said = message(Example, {"diameter": 1, "mode": "best", "nonsense": 0})
    assert "diameter" in said
    assert "mode" in said
    assert "nonsense" in said


def test_params_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Example().diameter = 3.0


@given(st.floats(2, 100), st.integers(1, 99), st.sampled_from(["fast", "good"]))
@settings(deadline=None, max_examples=25)
def test_digest_depends_on_the_values_only(diameter, rounds, mode):
    one = Example(diameter=diameter, rounds=rounds, mode=mode)
    again = Example.parse({"mode": mode, "rounds": str(rounds), "diameter": repr(diameter)})
    assert one.digest() == again.digest()
    other = Example(diameter=diameter, rounds=rounds + 1, mode=mode)
    assert one.digest() != other.digest()


def test_what_only_changes_the_speed_is_not_in_the_digest():
    class Settings(Params):
        size: int = 3
        threads: int = Field(2, json_schema_extra={"speed_only": True})

    assert Settings(threads=8).digest() == Settings().digest()
    assert Settings(size=4).digest() != Settings().digest()


def test_what_happens_where_there_is_nothing_is_no_part_of_the_digest():
    class Lenient(Params):
        size: int = Field(1)
        damaged: str = Field("error", json_schema_extra={"on_failure": True})

    assert Lenient().digest() == Lenient(damaged="blank").digest()
    assert Lenient().digest() != Lenient(size=2).digest()
