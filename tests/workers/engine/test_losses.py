import torch

from service.domain.engine import TrainingSet
from tests.workers.engine.small_data import CPU, encode_all
from workers.engine.losses import instance_losses, mean_losses
from workers.engine.resident import Resident
from workers.engine.tokens import collate


def test_an_instance_loss_is_the_models_own_loss_on_it_alone(resident: Resident, data: TrainingSet) -> None:
    tokens = list(encode_all(resident, data).values())[:5]
    together = instance_losses(resident.model, collate(tokens, resident.pad_id))
    for instance, loss in zip(tokens, together, strict=True):
        alone = collate([instance], resident.pad_id)
        expected = resident.model(input_ids=alone.input_ids, labels=alone.labels).loss
        torch.testing.assert_close(loss, expected)


def test_mean_losses_keep_the_order_whatever_the_batch_size(resident: Resident, data: TrainingSet) -> None:
    tokens = list(encode_all(resident, data).values())
    at_once = mean_losses(resident.model, tokens, resident.pad_id, CPU, len(tokens))
    one_by_one = mean_losses(resident.model, tokens, resident.pad_id, CPU, 1)
    torch.testing.assert_close(at_once, one_by_one)
    assert at_once.shape == (len(tokens),)


def test_mean_losses_leave_the_mode_as_it_was(resident: Resident, data: TrainingSet) -> None:
    resident.model.train()
    mean_losses(resident.model, list(encode_all(resident, data).values())[:2], resident.pad_id, CPU, 2)
    assert resident.model.training
