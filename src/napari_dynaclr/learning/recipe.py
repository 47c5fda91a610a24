"""What a network's input has to be, as its file or its preset says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_dynaclr.core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping


class Recipe(BaseModel):
    """How images were made for a network's training; each kind of network has fields of its own."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def of(cls, about: Mapping[str, Any], source: str) -> Self:
        """Take a recipe from what a file or a preset says.

        Parameters
        ----------
        about
            Facts by name; those that are no field of the recipe are passed over.
        source
            Whose they are, for the error message.

        Raises
        ------
        InvalidInput
            If they are nonsense.
        """
        try:
            return cls.model_validate(dict(about))
        except ValidationError as error:
            field = error.errors()[0]["loc"][0]
            raise InvalidInput(
                f"{source} says something wrong about its {field}: save the weights again."
            ) from None

    def over(self, other: Self) -> Self:
        """Return this recipe, with what it does not know (None) from the other one."""
        known = (one.model_dump(exclude_none=True) for one in (other, self))
        return self.model_validate({name: value for part in known for name, value in part.items()})
