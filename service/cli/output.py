"""Printing: tables for people on a terminal, JSON for machines. Nothing here decides anything."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pydantic import BaseModel
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from service.client.answers.adapters import Alias, Dataset, Line, RollForwardPlan, Version
from service.client.answers.inbound import InboundEndpoint, NewInboundEndpoint
from service.client.answers.operations import ApiKey, NewApiKey, SigningKey
from service.client.answers.requests import Plan, Request, Run
from service.client.answers.serving import ServingTarget
from service.client.answers.webhooks import NewWebhookSecret, WebhookDelivery, WebhookEndpoint
from service.domain.errors import LetheError
from service.domain.scheduling import Wait

COLOURS = {
    "succeeded": "green",
    "ready": "green",
    "delivered": "green",
    "running": "cyan",
    "preparing": "cyan",
    "pending": "cyan",
    "awaiting_rebuild": "cyan",
    "failed": "red",
    "rejected": "red",
    "needs_attention": "red",
    "withdrawn": "dim",
    "quarantined": "dim",
}
# Ids are there to be copied.
_IDS = frozenset({"dataset", "request", "run", "endpoint", "delivery", "key"})


class Output:
    """Results go to standard output; problems and progress to standard error."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False)
        self.errors = Console(stderr=True, highlight=False)

    def one(self, answer: BaseModel, shown: RenderableType) -> None:
        if self.as_json:
            self._json(answer.model_dump(mode="json"))
        else:
            self.console.print(shown)

    def many(self, answers: Iterable[BaseModel], table: Table) -> None:
        if self.as_json:
            self._json([answer.model_dump(mode="json") for answer in answers])
        else:
            self.console.print(table)

    def value(self, value: Mapping[str, object], text: str) -> None:
        """An answer that lines of text say to people. Long lines are the terminal's to break: ids are copied whole."""
        if self.as_json:
            self._json(value)
        else:
            self.console.print(text, markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """A line for people only."""
        if not self.as_json:
            self.errors.print(text)

    def refusal(self, refusal: LetheError) -> None:
        """Title, detail, field and fix, each where there is one."""
        if self.as_json:
            self._json(_refusal_json(refusal))
            return
        self.errors.print(f"[bold red]{refusal.title}[/]")
        self.errors.print(refusal.detail, markup=False)
        for name, value in (("field", refusal.field), ("fix", refusal.fix), *refusal.extra.items()):
            if value is not None:
                self.errors.print(f"  {name}: {value}", markup=False)

    def _json(self, value: object) -> None:
        print(json.dumps(value, indent=2 if self.console.is_terminal else None))


def _refusal_json(refusal: LetheError) -> dict[str, object]:
    members = {
        "title": refusal.title,
        "status": refusal.status,
        "code": refusal.code,
        "detail": refusal.detail,
        "field": refusal.field,
        "fix": refusal.fix,
        **refusal.extra,
    }
    return {name: value for name, value in members.items() if value is not None}


def datasets_table(datasets: Iterable[Dataset]) -> Table:
    table = _table("dataset", "name", "instances", "subjects", "duplicates", "created")
    for item in datasets:
        table.add_row(
            item.id,
            item.name or "",
            str(item.instance_count),
            str(item.subject_count),
            str(item.duplicate_count),
            f"{item.created_at:%Y-%m-%d %H:%M}",
        )
    return table


def webhook_endpoints_table(endpoints: Sequence[WebhookEndpoint]) -> Table:
    table = _table("endpoint", "url", "events", "lines", "state", "verify with")
    for item in endpoints:
        state = "works" if item.failing_since is None else f"failing since {item.failing_since:%Y-%m-%d %H:%M}"
        table.add_row(
            item.id,
            item.url,
            ", ".join(item.event_types or ["all"]),
            ", ".join(item.lines or ["all"]),
            state if item.enabled else f"off: {item.disabled_reason}",
            "\n".join(key.public_key or "the shared secret" for key in item.keys),
        )
    new = [one.secret for one in endpoints if isinstance(one, NewWebhookSecret) and one.secret]
    table.caption = f"secret, shown this once: {new[0]}" if new else None
    return table


def webhook_deliveries_table(deliveries: Iterable[WebhookDelivery]) -> Table:
    table = _table("delivery", "type", "state", "answers", "next attempt", "created")
    for item in deliveries:
        table.add_row(
            item.id,
            item.message.type,
            _state(item.state),
            ", ".join(str(attempt.status or attempt.error) for attempt in item.attempts),
            "" if item.next_attempt_at is None else f"{item.next_attempt_at:%Y-%m-%d %H:%M:%S}",
            f"{item.created_at:%Y-%m-%d %H:%M:%S}",
        )
    return table


def serving_targets_table(targets: Iterable[ServingTarget]) -> Table:
    table = _table("target", "name", "kind", "state", "follows", "replicas that serve it")
    for target in targets:
        current = sum(replica.state == "current" for replica in target.replicas)
        follows = ", ".join(f"{line}@{target.alias}" for line in target.lines)
        table.add_row(target.id, target.name, target.kind, target.state, follows, f"{current}/{len(target.replicas)}")
    return table


def replicas_table(target: ServingTarget) -> Table:
    table = _table("replica", "server", "adapter", "state", "shall serve", "serves", "since")
    for replica in target.replicas:
        since = "" if replica.proven_at is None else f"{replica.proven_at:%Y-%m-%d %H:%M:%S}"
        serves = (replica.proven or "") + (" (indistinct)" if replica.outcome == "indistinct" else "")
        state = replica.state + (f": {replica.step}" if replica.step else "")
        table.add_row(replica.id, replica.url, replica.adapter, state, replica.desired or "", serves, since)
    failures = [f"{r.id}: {r.failure.code}: {r.failure.detail}" for r in target.replicas if r.failure]
    table.caption = escape("\n".join(failures)) or None
    return table


def keys_table(keys: Sequence[ApiKey]) -> Table:
    table = _table("key", "name", "lines", "scopes", "state", "last used")
    new = [one.token for one in keys if isinstance(one, NewApiKey) and one.token]
    for one in keys:
        lines = "all" if one.lines is None else ", ".join(one.lines)
        used = f"{one.last_used_at:%Y-%m-%d %H:%M}" if one.last_used_at else "never"
        table.add_row(one.id, one.name, lines, ", ".join(one.scopes), _key_state(one), used)
    table.caption = f"key, shown this once: {new[0]}" if new else None
    return table


def _key_state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return f"revoked {key.revoked_at:%Y-%m-%d}"
    return "works" if key.expires_at is None else f"until {key.expires_at:%Y-%m-%d %H:%M}"


def signing_keys_table(keys: Iterable[SigningKey]) -> Table:
    table = _table("signing key", "for", "state", "since")
    for key in keys:
        state = f"revoked: {key.revocation_reason}" if key.revoked_at else "retired" if key.retired_at else "signs"
        since = key.revoked_at or key.retired_at or key.created_at
        table.add_row(key.kid, key.purpose, state, f"{since:%Y-%m-%d %H:%M}")
    return table


def inbound_table(endpoints: Sequence[InboundEndpoint]) -> Table:
    table = _table("endpoint", "provider", "name", "lines", "send to")
    new = [one.secret for one in endpoints if isinstance(one, NewInboundEndpoint) and one.secret]
    for one in endpoints:
        lines = "all" if one.lines is None else ", ".join(one.lines)
        table.add_row(one.id, one.provider, one.name, lines, one.path)
    table.caption = f"secret, shown this once: {new[0]}" if new else None
    return table


def lines_table(lines: Iterable[Line]) -> Table:
    table = _table("adapter", "base model", "newest", "anchor", "aliases")
    for line in lines:
        aliases = ", ".join(f"{alias} → {version}" for alias, version in sorted(line.aliases.items()))
        table.add_row(line.name, line.base_model.path, line.head or "", line.anchor or "", aliases)
    return table


def policy_table(line: Line) -> Table:
    table = _table("setting", "value")
    for setting, value in line.policy.items():
        table.add_row(setting, value if isinstance(value, str) else json.dumps(value))
    due = line.compaction
    table.caption = None if due is None else f"compacts its ledger at {due.due_at:%Y-%m-%d %H:%M:%S}: {due.because}"
    return table


def versions_table(versions: Iterable[Version]) -> Table:
    table = _table("version", "state", "made by", "claim", "parent", "anchor", "aliases", "created", "digest")
    for version in versions:
        table.add_row(
            f"{version.adapter}@{version.version}",
            _state(version.state),
            version.kind,
            version.claim_level or "",
            version.parent or "",
            version.anchor or "",
            ", ".join(version.aliases),
            f"{version.created_at:%Y-%m-%d %H:%M}",
            (version.digest or "").removeprefix("sha256:")[:12],
        )
    return table


def version_table(version: Version) -> Table:
    """One version, with what its line supports."""
    table = versions_table([version])
    capabilities = [
        f"{'yes' if capability.supported else 'no'}: {capability.name}" + (f" ({why})" if why else "")
        for capability in version.capabilities
        for why in [capability.reason]
    ]
    rejection = [] if version.rejection is None else [f"{version.rejection.code}: {version.rejection.detail}"]
    table.caption = "\n".join([*capabilities, *rejection]) or None
    return table


def alias_table(alias: Alias) -> Table:
    """Where an alias points, and below it what is on trial there."""
    table = _table("alias", "version", "traffic", "measured", "waits for")
    name, canary = f"{alias.adapter}@{alias.alias}", alias.canary
    table.add_row(name, alias.version, "100%" if canary is None else f"{1 - canary.weight:.0%}", "", "")
    if canary is not None:
        measured = ", ".join(f"{metric} {value:g}" for metric, value in sorted(canary.measured.items()))
        table.add_row("", f"{canary.version} on trial", f"{canary.weight:.0%}", measured, ", ".join(canary.waits_for))
    return table


def roll_forward_table(plan: RollForwardPlan) -> Table:
    table = _table("like", "recipe of", "instances", "replayed", "takes")
    takes = "not measured yet" if plan.estimated_seconds is None else f"{plan.estimated_seconds:.0f} s"
    table.add_row(plan.version, plan.anchor, str(plan.instances), str(plan.replayed), takes)
    return table


def requests_table(requests: Sequence[Request]) -> Table:
    """A row a target."""
    table = _table("request", "state", "due", "adapter", "target", "strategy", "version", "claim")
    for request in requests:
        state = _state(request.state) + (f" ({request.outcome})" if request.outcome else "")
        first = (
            request.id,
            state + (" [yellow]held[/]" if request.on_hold else ""),
            f"{request.due_at:%Y-%m-%d %H:%M}",
        )
        for number, target in enumerate(request.targets):
            table.add_row(
                *(first if number == 0 else ("", "", "")),
                target.adapter,
                f"{_state(target.state)} {waiting(target.waiting_for, target.not_before)}",
                target.strategy or "",
                target.version or "",
                target.claim_level or "",
            )
        if not request.targets:
            table.add_row(*first)
    reasons = [f"{r.failure.code}: {r.failure.detail}" for r in requests if r.failure]
    table.caption = "\n".join(reasons) or None
    return table


def waiting(what: str | None, until: datetime | None) -> str:
    """What something waits for, and until when if that is known."""
    if what is None:
        return ""
    known = f" until {until:%Y-%m-%d %H:%M:%S}" if until is not None and what in tuple(Wait) else ""
    return f"waiting for {what.replace('_', ' ')}{known}"


def run_table(run: Run) -> Table:
    table = _table("run", "adapter", "kind", "state", "stage", "progress", "version", "seconds")
    seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in (run.seconds or {}).items())
    table.add_row(
        run.id,
        run.adapter,
        run.kind,
        _state(run.state),
        waiting(run.waiting_for, run.not_before) or run.stage or "",
        f"{run.progress:.0%}",
        run.version or "",
        seconds,
    )
    return table


def plan_table(plan: Plan) -> Table:
    table = _table(
        "adapter", "removals", "corrections", "duplicates", "near", "share", "strategy", "takes", "fidelity", "claim",
        "why",
    )  # fmt: skip
    for line in plan.lines:
        takes = "not measured yet" if line.estimated_seconds is None else f"{line.estimated_seconds:.0f} s"
        takes = ", ".join(filter(None, [takes, waiting(line.waiting_for, line.starts_at)]))
        table.add_row(
            f"{line.adapter}@{line.version}",
            str(line.removals),
            str(line.corrections),
            str(line.exact_duplicates),
            str(len(line.near_duplicates)),
            f"{line.share:.1%}",
            line.strategy + (" [yellow]needs approval[/]" if line.needs_approval else ""),
            takes,
            "" if line.predicted_fidelity is None else f"{line.predicted_fidelity:.2f} ({line.grade})",
            line.claim_level,
            line.reason,
        )
    table.caption = f"no subject index on: {', '.join(plan.unindexed)}" if plan.unindexed else None
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", caption_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in _IDS)
    return table


def _state(state: str) -> str:
    colour = COLOURS.get(state)
    return f"[{colour}]{state}[/]" if colour else state
