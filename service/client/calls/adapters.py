"""Adapter lines, their aliases and canaries."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.client.answers.adapters import Alias, Line, Version
from service.client.answers.common import Page
from service.client.answers.requests import Run
from service.client.call import Call, Every, Json, One, new_key, nothing, path
from service.domain.adapters import BaseModelRef
from service.domain.canary import CanaryRules

ADAPTERS = "/v1/adapters"
LINE = f"{ADAPTERS}/{{name}}"
ALIAS = f"{LINE}/aliases/{{alias}}"
CANARY = f"{ALIAS}/canary"


def create_adapter(
    name: str,
    base_model: BaseModelRef,
    *,
    policy: Mapping[str, Any] | None = None,
    pool: str | None = None,
    idempotency_key: str | None = None,
) -> Call[Line]:
    """Create an adapter line, still without versions. `pool`: of the workers that serve it."""
    body: dict[str, Any] = {"name": name, "base_model": base_model.model_dump(mode="json")}
    body |= {"policy": dict(policy or {})} | ({} if pool is None else {"pool": pool})
    return Call("POST", ADAPTERS, One(Line), body=Json(body), idempotency_key=new_key(idempotency_key))


def list_adapters(*, cursor: str | None = None, limit: int | None = None) -> Call[Page[Line]]:
    """Adapter lines, newest first."""
    return Call("GET", ADAPTERS, One(Page[Line]), params={"cursor": cursor, "limit": limit})


def get_adapter(name: str) -> Call[Line]:
    """A line."""
    return Call("GET", path(LINE, name=name), One(Line))


def update_adapter(name: str, policy: Mapping[str, Any]) -> Call[Line]:
    """Change settings of a line's policy."""
    return Call("PATCH", path(LINE, name=name), One(Line), body=Json({"policy": dict(policy)}))


def retire_adapter(name: str, reason: str) -> Call[Line]:
    """Take a line out of service for good."""
    return Call("POST", path(f"{LINE}/retire", name=name), One(Line), body=Json({"reason": reason}))


def create_rebuild(name: str, *, idempotency_key: str | None = None) -> Call[Run]:
    """Retrain a line now without anything that was forgotten since the anchor."""
    where = path(f"{LINE}/rebuilds", name=name)
    return Call("POST", where, One(Run), idempotency_key=new_key(idempotency_key))


def withdraw_versions(name: str, versions: Sequence[str]) -> Call[list[Version]]:
    """Take versions out of service now."""
    where = path(f"{LINE}/withdraw", name=name)
    return Call("POST", where, Every(Version), body=Json({"versions": list(versions)}))


def list_aliases(name: str) -> Call[list[Alias]]:
    """A line's aliases, by name."""
    return Call("GET", path(f"{LINE}/aliases", name=name), Every(Alias))


def get_alias(name: str, alias: str) -> Call[Alias]:
    """Where an alias points, and what is on trial there."""
    return Call("GET", path(ALIAS, name=name, alias=alias), One(Alias))


def set_alias(name: str, alias: str, version: str, *, expected: str | None) -> Call[Alias]:
    """Point an alias at `version` if it points at `expected` now (None: if it does not exist yet)."""
    body = Json({"version": version, "expected": expected})
    return Call("PUT", path(ALIAS, name=name, alias=alias), One(Alias), body=body)


def delete_alias(name: str, alias: str) -> Call[None]:
    """Remove an alias."""
    return Call("DELETE", path(ALIAS, name=name, alias=alias), nothing)


def begin_canary(name: str, alias: str, version: str, *, rules: CanaryRules | None = None) -> Call[Alias]:
    """Try a version on a share of an alias's traffic; without `rules` as the line's policy says."""
    body = Json({"version": version, "rules": None if rules is None else rules.model_dump(mode="json")})
    return Call("PUT", path(CANARY, name=name, alias=alias), One(Alias), body=body)


def end_canary(name: str, alias: str) -> Call[Alias]:
    """Take the canary back."""
    return Call("DELETE", path(CANARY, name=name, alias=alias), One(Alias))


def observe_canary(name: str, alias: str, values: Mapping[str, float]) -> Call[Alias]:
    """Send what was measured of a canary, by metric. That may promote it or take it back at once."""
    where = path(f"{CANARY}/observations", name=name, alias=alias)
    return Call("POST", where, One(Alias), body=Json({"values": dict(values)}))


def promote_canary(name: str, alias: str) -> Call[Alias]:
    """Point an alias at its canary now."""
    return Call("POST", path(f"{CANARY}/promote", name=name, alias=alias), One(Alias))
