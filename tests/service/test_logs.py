"""What processes log of errors: never their texts, which may quote a person's data."""

import logging
import sys

from service.logs import DiscreetFormatter

SECRET = "glimmerwort 4711"


def logged(raising: BaseException) -> str:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise raising from error
    except BaseException:  # noqa: BLE001 - whatever it is
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "it failed", (), sys.exc_info())
        return DiscreetFormatter("%(levelname)s %(message)s").format(record)


def test_types_and_places_are_told_and_texts_are_not() -> None:
    told = logged(ValueError(SECRET))
    assert told.startswith("ERROR it failed\n")
    assert told.index("ValueError") < told.index("caused by") < told.index("KeyError")
    assert "in logged" in told
    assert SECRET not in told


def test_a_group_tells_no_texts_either() -> None:
    told = logged(ExceptionGroup(SECRET, [ValueError(SECRET)]))
    assert "ExceptionGroup" in told
    assert SECRET not in told
