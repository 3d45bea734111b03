"""Datasets that the service fetches itself, from places the operator allows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, cast
from urllib.parse import unquote

import fsspec

from service.domain.errors import NotFound, Unsupported

SCHEMES = ("file", "s3")


@contextmanager
def open_source(uri: str, *, allowed: Sequence[str]) -> Iterator[BinaryIO]:
    """The file at `uri`, if it lies below one of the `allowed` URIs.

    Raises:
        Unsupported: it lies elsewhere.
        NotFound: there is no such file.
    """
    if not _is_below(uri, allowed):
        raise Unsupported(
            "Datasets may not be read from there.",
            field="/uri",
            fix="Upload the file, or let the operator allow the place in LETHE_DATASET_URIS.",
            code="uri-not-allowed",
        )
    try:
        opened = fsspec.open(uri, "rb").open()
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise NotFound("There is no such file.", field="/uri", code="uri-not-found") from None
    with opened as file:
        yield cast(BinaryIO, file)


def _is_below(uri: str, allowed: Sequence[str]) -> bool:
    """`::` would chain file systems, `..` leave the allowed place, and other schemes follow redirects anywhere."""
    if uri.partition("://")[0] not in SCHEMES or "::" in uri or ".." in unquote(uri).split("/"):
        return False
    return any(uri.startswith(place if place.endswith("/") else f"{place}/") for place in allowed)
