"""Many lines soon: the real engine trains once, and every line publishes what it made.

The lines have the same base, data and recipe, and training is deterministic, so each would be given the same bytes by
a training of its own.
"""

import os
from pathlib import Path

from service.domain.adapters import BaseModelRef, LoraSpec, Policy, Recipe, TrainingFormat
from service.domain.engine import AnchorResult, Job
from service.domain.runs import RunKind
from service.flows.add_version import VersionSource, add_version
from service.flows.assemble import assemble
from service.flows.claim import Claim
from service.flows.lines import create_line
from service.flows.publish import publish_first_anchor
from service.flows.staged import StagedAnchor, StoredTree
from service.flows.trees import keys, seal_tree
from service.settings import Settings
from service.store.local_cache import LocalCache
from tests.load.soak.plan import Plan
from tests.support.house import ACTOR, House, people
from workers.engine_process import EngineProcess

RECIPE = Recipe(
    epochs=4, batch_size=16, learning_rate=5e-3, lora=LoraSpec(r=2, alpha=4, target_modules=("q_proj", "v_proj"))
)
TRAINING_S = 120.0


def make_lines(house: House, settings: Settings, plan: Plan, base: Path) -> None:
    """Every line of the plan, ready, on one dataset."""
    dataset = house.dataset(people(plan.people, facts=1))
    claims = [_claimed(house, base, dataset, name, plan.policy(n)) for n, name in enumerate(plan.names)]
    made = settings.home / "trained-once"
    result = _train(_job(house, settings, claims[0], made), settings)
    for claimed in claims:
        prefix = f"runs/{claimed.run_id}/{claimed.fence}"
        adapter = StoredTree(f"{prefix}/adapter", house.blobs.put_tree(made / "adapter", f"{prefix}/adapter"))
        artefacts = seal_tree(house.vault, house.blobs, made / "anchor", f"{prefix}/anchor")
        with house.store.write() as unit:
            publish_first_anchor(unit, house.vault, claimed, StagedAnchor(result, adapter, artefacts))


def _claimed(house: House, base: Path, dataset: str, name: str, policy: Policy) -> Claim:
    source = VersionSource(RunKind.train, dataset, None, RECIPE, TrainingFormat(max_length=64))
    with house.store.write() as unit:
        create_line(unit, name, BaseModelRef(path=str(base)), policy, actor=ACTOR)
        run_id = str(add_version(unit, name, source, actor=ACTOR).run_id)
    claimed = house.claim(run_id)
    assert claimed is not None, "nobody else is there to take it"
    return claimed


def _job(house: House, settings: Settings, claimed: Claim, out: Path) -> Job:
    cache = LocalCache(settings.home / "cache", house.blobs, keys(house.store, house.vault))
    with house.store.read() as unit:
        return assemble(unit, house.vault, claimed, materialise=cache.materialise, out=out)


def _train(job: Job, settings: Settings) -> AnchorResult:
    engine = EngineProcess({**os.environ, **settings.environment()})
    try:
        result = engine.run(
            job,
            on_progress=lambda _: None,
            watch=lambda: None,
            wants_yield=lambda: False,
            deadline_s=TRAINING_S,
        )
    finally:
        engine.kill()
    assert isinstance(result, AnchorResult), result
    return result
