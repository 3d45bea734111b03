"""An adapter fits a server, or there is a sentence that says why not."""

import pytest

from service.domain.serving_limits import ServingLimits, misfit

MODULES = ("q_proj", "v_proj")


@pytest.mark.parametrize(
    "limits",
    [
        ServingLimits(),
        ServingLimits(max_lora_rank=16),
        ServingLimits(target_modules=["v_proj", "q_proj", "o_proj"]),
        ServingLimits(max_lora_rank=16, target_modules=["qkv_proj"]),
    ],
    ids=["unknown", "rank", "modules", "fused modules"],
)
def test_what_is_within_the_limits_fits(limits: ServingLimits) -> None:
    assert misfit(16, MODULES, limits) is None


def test_a_higher_rank_does_not_fit() -> None:
    assert misfit(32, MODULES, ServingLimits(max_lora_rank=16)) == (
        "The adapter has rank 32; the server takes at most 16."
    )


@pytest.mark.parametrize("modules", [("q_proj", "down_proj"), ("model.layers.0.mlp.down_proj", "q_proj")])
def test_a_module_that_the_server_leaves_out_does_not_fit(modules: tuple[str, ...]) -> None:
    assert misfit(8, modules, ServingLimits(target_modules=("q_proj", "v_proj"))) == (
        "The server does not adapt down_proj, which the adapter does."
    )


def test_a_server_without_any_module_takes_none() -> None:
    assert misfit(8, ("q_proj",), ServingLimits(target_modules=())) is not None
