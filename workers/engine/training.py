"""Deterministic LoRA training: the same recipe and data give the same bits on the same machine.

The loss of a step is its instances' losses over a divisor that does not depend on which slots are
filled, so an instance that is taken out leaves every other instance's batch, step and weight as they were.
"""

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from service.domain.adapters import Recipe, TrainingFormat
from service.domain.engine import Progress, Stage, TrainingSet, Yielded
from workers.engine.erasure_vectors import ErasureVectors
from workers.engine.errors import EngineRefusal
from workers.engine.gradients import weighted_gradient
from workers.engine.observed import fisher_scales, observed_gradient
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.schedule import derived_seed, epoch_batches, learning_rate, order_digest, steps_per_epoch
from workers.engine.stages import ProgressCallback
from workers.engine.tokens import Tokens
from workers.engine.trainer_state import TrainerState

# Checkpoints at the middle of four equal segments; the run's start is useless, since there B = 0.
SEGMENTS = 4


def train(
    resident: Resident,
    data: TrainingSet,
    recipe: Recipe,
    tokens: Mapping[str, Tokens],
    *,
    checkpoint: Path,
    resume: Path | None = None,
    progress: ProgressCallback,
    should_yield: Callable[[], bool],
) -> TrainingRecord | Yielded:
    """Trains the resident's adapter from its initialisation; its weights are in `resident` afterwards.

    Between epochs the run stops when `should_yield` says so, leaves its state in `checkpoint`, and
    goes on bit-equally when that directory is given as `resume`.

    Memory: 16p bytes on the device, 8p a checkpoint in main memory, activations of one micro-batch; for
    erasure vectors 4p bytes a subject and 12p an instance of a batch.

    Raises:
        EngineRefusal: `empty-dataset`, or `checkpoint` if `resume` belongs to another run.
        torch.OutOfMemoryError: one micro-batch does not fit after three halvings.
    """
    if not data.examples:
        raise EngineRefusal("empty-dataset", "There is no instance to train on.")
    mark = fingerprint(resident, data, recipe, tokens)
    if resume is None:
        resident.initialise(derived_seed(recipe.seed, "initialisation", 0))
        state = TrainerState.start(recipe, mark, resident.parameters.get())
        if recipe.erasure_vectors:
            state.vectors = ErasureVectors.start(data, resident.parameters.size, resident.device)
    else:
        state = TrainerState.load(recipe, mark, resume, resident.device)
        resident.parameters.set(state.flat.detach())
    with _training_mode(resident, recipe):
        while state.epoch < recipe.epochs:
            _run_epoch(resident, data, tokens, state, progress)
            state.epoch += 1
            if state.epoch < recipe.epochs and should_yield():
                state.save(checkpoint)
                return Yielded(state.step)
    return state.to_record(order_digest(recipe, data.slot_count))


def fingerprint(resident: Resident, data: TrainingSet, recipe: Recipe, tokens: Mapping[str, Tokens]) -> str:
    """SHA-256, hex, of everything that determines a run."""
    sha = hashlib.sha256()
    sha.update(f"{resident.base.digest}\0{recipe.model_dump_json()}\0{data.format.model_dump_json()}".encode())
    for example, slot in zip(data.examples, data.slots, strict=True):
        sha.update(f"\0{slot}\0{example.id}\0{tokens[example.id]}".encode())
    return sha.hexdigest()


def loss_coefficients(
    slots_in_batch: int, present: Sequence[Tokens], recipe: Recipe, slot_count: int, fmt: TrainingFormat
) -> list[float]:
    """The factor of each present instance's mean loss in the loss of its batch.

    `instance_mean`: one over the batch size, also in a last, smaller batch, so that all instances weigh
    the same. `token_mean`: its share of the batch's label tokens (Hugging Face Trainer); the tokens of
    missing instances are unknown, so the batch is taken to be as long as its present ones are on average.
    """
    if fmt.reduction == "instance_mean":
        return [1 / min(recipe.batch_size, slot_count)] * len(present)
    total = sum(instance.label_count for instance in present) * slots_in_batch / max(1, len(present))
    return [instance.label_count / total for instance in present]


def _run_epoch(
    resident: Resident,
    data: TrainingSet,
    tokens: Mapping[str, Tokens],
    state: TrainerState,
    progress: ProgressCallback,
) -> None:
    recipe = state.recipe
    total = recipe.epochs * steps_per_epoch(recipe, data.slot_count)
    checkpoint_steps = {math.ceil(total * (2 * index + 1) / (2 * SEGMENTS)) for index in range(SEGMENTS)}
    id_at = {slot: example.id for example, slot in zip(data.examples, data.slots, strict=True)}
    for slots in epoch_batches(recipe, data.slot_count, state.epoch):
        ids = [id_at[slot] for slot in slots if slot in id_at]
        chosen = [tokens[name] for name in ids]
        coefficients = loss_coefficients(len(slots), chosen, recipe, data.slot_count, data.format)
        rate = learning_rate(recipe, state.step, total) if ids else 0.0
        if ids:
            _take_step(resident, state, ids, chosen, coefficients, rate)
        state.learning_rates.append(rate)
        if state.step in checkpoint_steps:
            state.take_checkpoint()
        progress(Progress(Stage.training, state.step, total))


def _take_step(
    resident: Resident,
    state: TrainerState,
    ids: Sequence[str],
    tokens: Sequence[Tokens],
    coefficients: Sequence[float],
    rate: float,
) -> None:
    recipe = state.recipe
    # Dropout masks depend on the step alone, so that a resumed run draws the same ones.
    torch.manual_seed(derived_seed(recipe.seed, "dropout", state.step))
    if state.vectors is None:
        gradient, batch = weighted_gradient(resident, tokens, coefficients), None
    else:
        gradient, parts = observed_gradient(resident, tokens, coefficients)
        batch = state.vectors.batch(ids, parts, fisher_scales(tokens, coefficients))
    scale = 1.0
    if recipe.max_grad_norm is not None:
        scale = min(1.0, recipe.max_grad_norm / (float(gradient.norm()) + 1e-12))
    state.apply(gradient * scale, rate)
    if state.vectors is not None and batch is not None:
        preconditioner = rate * scale / (state.second_moments().sqrt() + recipe.epsilon)
        state.vectors.step(batch, preconditioner, retention=1 - rate * recipe.weight_decay)
    resident.parameters.set(state.flat.detach())
    for name, coefficient in zip(ids, coefficients, strict=True):
        state.coefficients[name] = state.coefficients.get(name, 0.0) + scale * coefficient


@contextmanager
def _training_mode(resident: Resident, recipe: Recipe) -> Iterator[None]:
    """Dropout and checkpointing as the recipe says, deterministic kernels only; eval mode afterwards."""
    cuda = [resident.device] if resident.device.type == "cuda" else []
    before = torch.are_deterministic_algorithms_enabled()
    # cuBLAS is deterministic only with a fixed workspace (PyTorch notes on reproducibility).
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    kernels = [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
    with torch.random.fork_rng(devices=cuda), sdpa_kernel(kernels):
        torch.use_deterministic_algorithms(True)
        resident.model.train()
        if recipe.gradient_checkpointing:
            resident.base.model.activation_checkpointing_enable({"use_reentrant": False})
        try:
            yield
        finally:
            if recipe.gradient_checkpointing:
                resident.base.model.activation_checkpointing_disable()  # type: ignore[no-untyped-call]
            resident.model.eval()
            torch.use_deterministic_algorithms(before)
