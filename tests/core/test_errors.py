from __future__ import annotations

import errno

import pytest

from napari_dynaclr.core.errors import (
    Cancelled,
    DynaclrError,
    InvalidInput,
    MissingExtra,
    MissingInput,
    StorageError,
    storage_errors,
)


@pytest.mark.parametrize("kind", [InvalidInput, MissingInput, MissingExtra, StorageError])
def test_every_error_for_the_user_ends_the_command_line_with_2(kind):
    assert issubclass(kind, DynaclrError)
    assert kind.exit_code == 2


def test_cancelled_is_not_failed():
    assert not issubclass(Cancelled, DynaclrError)


def test_missing_input_names_what_where_and_the_stage_that_makes_it():
    error = MissingInput("tracks", "track", "A/1/0")
    assert str(error) == "No tracks found for FOV A/1/0: run 'track' first."
    assert (error.what, error.made_by, error.where) == ("tracks", "track", "A/1/0")
    assert str(MissingInput("tracks", "track")) == "No tracks found: run 'track' first."


def test_missing_extra_names_the_cure():
    error = MissingExtra("umap", "umap")
    assert 'pip install "napari-dynaclr[umap]"' in str(error)


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EPERM, "permission denied"),
        (errno.ENOTDIR, "is a file"),
    ],
)
def test_storage_errors_say_what_to_do(number, says):
    cause = OSError(number, "refused")
    with (
        pytest.raises(StorageError, match=rf"^Cannot write tracks: .*{says}") as caught,
        storage_errors("write tracks"),
    ):
        raise cause
    assert caught.value.__cause__ is cause
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cause", [OSError(errno.EIO, "x"), OSError("no number"), KeyError("x")])
def test_other_errors_pass_through_storage_errors(cause):
    with pytest.raises(type(cause)) as caught, storage_errors("write tracks"):
        raise cause
    assert caught.value is cause
