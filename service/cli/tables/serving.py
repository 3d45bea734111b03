"""Serving targets and their replicas as tables."""

from collections.abc import Iterable

from rich.table import Table

from service.cli.tables.cells import table_of
from service.client.answers.serving import ServingTarget


def serving_targets_table(targets: Iterable[ServingTarget]) -> Table:
    table = table_of("target", "name", "kind", "state", "follows", "replicas that serve it")
    for target in targets:
        current = sum(replica.state == "current" for replica in target.replicas)
        follows = ", ".join(f"{line}@{target.alias}" for line in target.lines)
        table.add_row(target.id, target.name, target.kind, target.state, follows, f"{current}/{len(target.replicas)}")
    return table


def replicas_table(target: ServingTarget) -> Table:
    table = table_of("replica", "server", "adapter", "state", "shall serve", "serves", "since")
    for replica in target.replicas:
        since = "" if replica.proven_at is None else f"{replica.proven_at:%Y-%m-%d %H:%M:%S}"
        serves = (replica.proven or "") + (" (indistinct)" if replica.outcome == "indistinct" else "")
        state = replica.state + (f": {replica.step}" if replica.step else "")
        table.add_row(replica.id, replica.url, replica.adapter, state, replica.desired or "", serves, since)
    failures = [f"{r.id}: {r.failure.code}: {r.failure.detail}" for r in target.replicas if r.failure]
    table.caption = "\n".join(failures) or None
    return table
