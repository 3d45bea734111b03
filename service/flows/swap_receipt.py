"""Sign that a replica serves a version, and what was unloaded there before."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from service.domain.ids import new_id
from service.domain.probes import ProbeOutcome
from service.evidence.facts import RemovedAdapter, SwapFacts
from service.evidence.statements import swap_receipt
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import Line, Replica, SwapReceipt, Version


@dataclass(frozen=True, slots=True)
class Swapped:
    """What the answers to the probe were, and their mean distances (nats) from what they could be."""

    outcome: ProbeOutcome
    distances: Mapping[str, float]


def sign_swap(
    unit: Unit, vault: Vault, line: Line, replica: Replica, version: Version, swapped: Swapped
) -> SwapReceipt:
    """Sign, record and announce. What was removed before is told once."""
    target = unit.serving.target_of(replica)
    row = SwapReceipt(
        id=new_id("swap"),
        replica_id=replica.id,
        target_id=target.id,
        line_id=line.id,
        version_id=version.id,
        outcome=swapped.outcome,
        seconds=(unit.now - _accepted_at(unit, version)).total_seconds(),
        created_at=unit.now,
    )
    facts = SwapFacts(
        id=row.id,
        issued_at=row.created_at,
        target_id=target.id,
        replica_id=replica.id,
        server=target.kind,
        version=f"{line.name}@v{version.number}",
        digest=str(version.digest),
        files={name: str(entry["sha256"]) for name, entry in (version.files or {}).items()},
        desired_at=replica.desired_at,
        outcome=swapped.outcome,
        distances=swapped.distances,
        precision=target.precision,
        removed=[RemovedAdapter(name, overwritten) for name, overwritten in sorted(replica.removed.items())],
    )
    row.envelope = vault.signer(unit).envelope(swap_receipt(facts))
    unit.serving.add(row)
    replica.removed = {}
    number = version.number
    unit.audit("lethe", "replica.swapped", adapter=line.name, version=number, replica=replica.id, receipt=row.id)
    unit.emit(
        "replica.swapped",
        adapter=line.name,
        version=number,
        digest=version.digest,
        replica=replica.id,
        receipt=row.id,
        outcome=swapped.outcome,
    )
    return row


def _accepted_at(unit: Unit, version: Version) -> datetime:
    """When the oldest request that the version was made for was filed; else when it was published."""
    targets = [] if version.run_id is None else unit.targets.of_run(version.run_id)
    requests = [unit.requests.get(target.request_id) for target in targets]
    filed = [request.created_at for request in requests if request is not None]
    return min(filed, default=version.ready_at or version.created_at)
