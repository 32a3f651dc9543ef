"""tasks/model/optimizer: schedules, parts of a step, and what is not sound."""

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from tasks.errors import TrainingError
from tasks.model.batches import cells, collate, parts
from tasks.model.optimizer import (
    adamw,
    moments_of,
    put_moments,
    put_weights,
    rate,
    refuse_unsound,
    refuse_unsound_weights,
    weights_of,
)
from tests import toys
from tests.test_fit import SETTINGS, encoded, train


def rates(schedule: str, steps: int = 20, warmup: float = 0.2) -> list[float]:
    params = SETTINGS.model_copy(update={"schedule": schedule, "warmup": warmup, "learning_rate": 1.0})
    return [rate(params, step, steps) for step in range(1, steps + 1)]


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_the_rate_rises_to_its_height_and_falls_as_its_name_says(schedule: str) -> None:
    values = rates(schedule)
    assert values[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert max(values) == 1.0
    assert values[4:] == sorted(values[4:], reverse=True)
    assert (values[-1] == 1.0) == (schedule == "constant")
    assert 0 < values[-1] < 0.1 or schedule == "constant"


def test_the_linear_schedule_is_torch_s_own_of_this_shape() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    schedule = LambdaLR(optimizer, lambda step: min((step + 1) / 4, (20 - step) / 16))
    theirs = []
    for _ in range(20):
        theirs.append(float(schedule.get_last_lr()[0]))
        optimizer.step()
        schedule.step()
    assert rates("linear") == pytest.approx(theirs)


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_a_step_in_parts_is_the_whole_step(kind: str) -> None:
    whole, _, _ = train(kind)
    split, _, _ = train(kind, max_tokens_at_once=150)
    assert [row["loss"] for row in split if "loss" in row] == pytest.approx(
        [row["loss"] for row in whole if "loss" in row], rel=1e-4
    )


@pytest.mark.parametrize("packed", [True, False])
def test_parts_hold_every_example_once_and_no_more_than_fits(packed: bool) -> None:
    examples = encoded("causal", 9)
    split = list(parts(examples, 300, "causal", packed))
    assert [example for part in split for example in part] == examples
    assert len(split) > 1
    assert all(len(part) == 1 or cells(part, "causal", packed) <= 300 for part in split)


@pytest.mark.parametrize(("kind", "packed"), [("causal", True), ("causal", False), ("seq2seq", False)])
def test_cells_are_those_of_the_tensors(kind: str, packed: bool) -> None:
    examples = encoded(kind, 4)
    batch = collate(examples, 0, kind, packed)  # type: ignore[arg-type]
    computed = batch.input_ids.numel() + (batch.labels.numel() if kind == "seq2seq" else 0)
    assert cells(examples, kind, packed) == computed  # type: ignore[arg-type]


def test_weights_and_moments_put_into_another_model_give_the_same_next_step() -> None:
    def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for number, parameter in enumerate(model.parameters()):
            parameter.grad = torch.full_like(parameter, 0.1 * (number % 7 + 1))
        optimizer.step()

    first, second = toys.model("causal", seed=0), toys.model("causal", seed=1)
    ours, theirs = adamw(first, SETTINGS), adamw(second, SETTINGS)
    step(first, ours)
    put_weights(second, weights_of(first))
    put_moments(second, theirs, moments_of(first, ours))
    step(first, ours)
    step(second, theirs)
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize(
    ("loss", "norm", "said"),
    [
        (float("nan"), 1.0, "the loss is nan at step 7"), (float("inf"), 1.0, "the loss is inf at step 7"),
        (1.0, float("nan"), "the gradient norm is nan at step 7"),
        (1.0, 1e6, r"the gradient norm is 1000000.0 at step 7, over finetune.optimizer.stop_grad_norm = 1000"),
    ],
)  # fmt: skip
def test_what_is_not_sound_stops_the_training_before_the_weights_change(loss: float, norm: float, said: str) -> None:
    refuse_unsound(7, 2.0, 3.0, 1000.0)
    with pytest.raises(TrainingError, match=said):
        refuse_unsound(7, loss, norm, 1000.0)


def test_a_weight_that_is_no_number_is_named() -> None:
    model = toys.model("causal")
    refuse_unsound_weights(model, 3)
    with torch.no_grad():
        model.lm_head.weight[5, 5] = float("inf")
    with pytest.raises(TrainingError, match=r"the weights 'lm_head.weight' are not finite after step 3"):
        refuse_unsound_weights(model, 3)
