"""The form of a new request, as the API takes it."""

from datetime import datetime, time, tzinfo

from service.api.desk.forms import Fields, checked
from service.api.schemas.requests import RequestCreate
from service.domain.errors import InvalidInput

# What a plan shows near duplicates for.
FORGETS = ("subject", "instances")


def request_of(fields: Fields, zone: tzinfo) -> RequestCreate:
    """A day of receipt begins by the clock of the zone. Raises InvalidInput."""
    received = fields.day("received_at")
    return checked(
        RequestCreate,
        {
            "operations": [_operation(fields), *_also(fields)],
            "adapters": fields.many("adapters") or None,
            "strategy": fields.text("strategy"),
            "client_reference": fields.text("client_reference"),
            "regulation": fields.text("regulation"),
            "urgent": fields.text("urgent") is not None,
            "received_at": None if received is None else datetime.combine(received, time.min, tzinfo=zone),
        },
    )


def _operation(fields: Fields) -> dict[str, object]:
    match fields.text("what"):
        case "subject":
            return {"type": "remove", "select": {"subject": _subject(fields)}}
        case "instances":
            ids = fields.many("instance_ids")
            if not ids:
                raise InvalidInput("No instance is named.", field="instance_ids", fix="Write one id a line.")
            return {"type": "remove", "select": {"instance_ids": ids}}
        case "correct":
            return {
                "type": "correct_response",
                "instance_id": _needed(fields, "correct_id", "The instance is not named."),
                "completion": fields.verbatim("completion"),
            }
        case "modify":
            return {
                "type": "modify_query",
                "instance_id": _needed(fields, "modify_id", "The instance is not named."),
                "prompt": fields.verbatim("prompt"),
            }
    raise InvalidInput("Nothing is asked for.", field="what", fix="Choose what shall be done.")


def _also(fields: Fields) -> list[dict[str, object]]:
    """Instances much like those that are to be forgotten, which were ticked in the plan."""
    ticked = fields.many("also")
    if not ticked or fields.text("what") not in FORGETS:
        return []
    return [{"type": "remove", "select": {"instance_ids": list(dict.fromkeys(ticked))}}]


def _subject(fields: Fields) -> object:
    value = _needed(fields, "subject", "The data subject is not named.")
    kind = fields.text("kind")
    if kind is None:
        return value
    return {"sha256": value} if kind == "sha256" else {"kind": kind, "value": value}


def _needed(fields: Fields, name: str, detail: str) -> str:
    value = fields.text(name)
    if value is None:
        raise InvalidInput(detail, field=name, fix="Fill it in.")
    return value
