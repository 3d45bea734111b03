"""Synthetic results for the tests of what a report shows."""

from typing import Any

from workers.bench.results import Environment, Failure, Report, Result

ENVIRONMENT = Environment(
    lethe="0",
    python="3.11",
    torch="2",
    transformers="5",
    peft="0.20",
    platform="here",
    device="cpu",
    cpus=2,
    threads=1,
)


def result(method: str, cost: float, fidelity: float, **fields: Any) -> Result:
    """One result; whatever is not given is plausible."""
    plain: dict[str, Any] = {
        "world": "generated",
        "task": "removal",
        "share": "a tenth",
        "regime": "memorised",
        "forget_set": 0,
        "seed": 0,
        "seconds": 40 * cost,
        "fidelity_same_seed": fidelity,
        "fidelity_retained": 1.1,
        "fidelity_unseen": 1.2,
        "kl": 0.1 * fidelity,
        "kl_retained": 0.1,
        "kl_unseen": 0.1,
        "floor": 0.1,
        "floor_retained": 0.1,
        "floor_unseen": 0.1,
        "forget_loss": 1.5,
        "oracle_forget_loss": 2.5,
        "retained_loss": 0.1,
        "oracle_retained_loss": 0.1,
        "membership_auc": 0.7,
        "oracle_membership_auc": 0.5,
        "priv_leak": -3.0,
        "ks_distance": 0.2,
        "ks_p": 0.9,
        "ks_smallest_p": 0.001,
        "delta_distance": 0.9,
    }
    return Result.model_validate({**plain, "method": method, "cost": cost, "fidelity": fidelity, **fields})


def report(*results: Result, failures: tuple[Failure, ...] = ()) -> Report:
    return Report(environment=ENVIRONMENT, results=results, failures=failures)
