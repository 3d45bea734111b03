"""Datasets, lines, versions and aliases as tables."""

import json
from collections.abc import Iterable

from rich.table import Table

from service.cli.tables.cells import state_of, table_of
from service.client.answers.adapters import Alias, Dataset, Line, RollForwardPlan, Version


def datasets_table(datasets: Iterable[Dataset]) -> Table:
    table = table_of("dataset", "name", "instances", "subjects", "duplicates", "created")
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


def lines_table(lines: Iterable[Line]) -> Table:
    table = table_of("adapter", "base model", "newest", "anchor", "aliases")
    for line in lines:
        aliases = ", ".join(f"{alias} → {version}" for alias, version in sorted(line.aliases.items()))
        table.add_row(line.name, line.base_model.path, line.head or "", line.anchor or "", aliases)
    return table


def policy_table(line: Line) -> Table:
    table = table_of("setting", "value")
    for setting, value in line.policy.items():
        table.add_row(setting, value if isinstance(value, str) else json.dumps(value))
    due = line.compaction
    table.caption = None if due is None else f"compacts its ledger at {due.due_at:%Y-%m-%d %H:%M:%S}: {due.because}"
    return table


def versions_table(versions: Iterable[Version]) -> Table:
    table = table_of("version", "state", "made by", "claim", "parent", "anchor", "aliases", "created", "digest")
    for version in versions:
        table.add_row(
            f"{version.adapter}@{version.version}",
            state_of(version.state),
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
    table = table_of("alias", "version", "traffic", "measured", "waits for")
    name, canary = f"{alias.adapter}@{alias.alias}", alias.canary
    table.add_row(name, alias.version, "100%" if canary is None else f"{1 - canary.weight:.0%}", "", "")
    if canary is not None:
        measured = ", ".join(f"{metric} {value:g}" for metric, value in sorted(canary.measured.items()))
        table.add_row("", f"{canary.version} on trial", f"{canary.weight:.0%}", measured, ", ".join(canary.waits_for))
    return table


def roll_forward_table(plan: RollForwardPlan) -> Table:
    table = table_of("like", "recipe of", "instances", "replayed", "takes")
    takes = "not measured yet" if plan.estimated_seconds is None else f"{plan.estimated_seconds:.0f} s"
    table.add_row(plan.version, plan.anchor, str(plan.instances), str(plan.replayed), takes)
    return table
