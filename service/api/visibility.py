"""Find what a call names, unless the caller's key is bound to other lines: then it does not exist."""

from service.api.actor import Actor
from service.domain.errors import Forbidden, NotFound
from service.flows.lookup import find_dataset, find_line, find_request, find_run
from service.store.database import Unit
from service.store.repositories import View
from service.store.tables import Dataset, Line, Run, UnlearningRequest


def view_of(actor: Actor) -> View | None:
    """The actor's view for lists; None: it sees everything."""
    return None if actor.lines is None else View(actor.id, actor.lines)


def visible_line(unit: Unit, actor: Actor, name: str) -> Line:
    """Raises NotFound."""
    if not actor.sees(name):
        raise NotFound("There is no such adapter line.", field="name", code="unknown-adapter")
    return find_line(unit, name)


def visible_request(unit: Unit, actor: Actor, request_id: str) -> UnlearningRequest:
    """Raises NotFound."""
    request, view = find_request(unit, request_id), view_of(actor)
    if view is not None and not unit.requests.visible(request_id, view):
        raise NotFound("There is no such request.", field="request_id", code="unknown-request")
    return request


def visible_run(unit: Unit, actor: Actor, run_id: str) -> Run:
    """Raises NotFound."""
    run = find_run(unit, run_id)
    if not actor.sees(unit.lines.get(run.line_id).name):
        raise NotFound("There is no such run.", field="run_id", code="unknown-run")
    return run


def visible_dataset(unit: Unit, actor: Actor, dataset_id: str, *, field: str = "dataset") -> Dataset:
    """Raises NotFound."""
    dataset, view = find_dataset(unit, dataset_id, field=field), view_of(actor)
    if view is not None and not unit.datasets.visible(dataset_id, view):
        raise NotFound("There is no such dataset.", field=field, fix="Upload it first.", code="unknown-dataset")
    return dataset


def require_unbound(actor: Actor) -> None:
    """Raises Forbidden: what concerns the whole deployment is not for keys bound to lines."""
    if actor.lines is not None:
        raise Forbidden(
            "A key that is bound to lines may not do this.", fix="Use a key for all lines.", code="key-is-bound"
        )
