"""tasks/model/fit: the loss is transformers' own, on response tokens only; the loop's numbers are golden."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.errors import TrainingError
from tasks.model.attention import pack
from tasks.model.batches import IGNORED, collate, order
from tasks.model.checkpoints import Checkpoints
from tasks.model.distributed import World
from tasks.model.encode import Encoded, contract_of, encode_example
from tasks.model.encoded import Instructions, encode_examples
from tasks.model.fit import Care, fit
from tasks.model.load import use_threads
from tasks.model.loss import ResponseLoss, response_loss
from tasks.model.optimizer import Optimizer
from tasks.model.setup import Setup, mean_loss
from tasks.step import Asking
from tests import toys

KINDS = ["causal", "seq2seq"]
SETTINGS = Optimizer(
    epochs=2, batch_size=4, max_tokens_at_once=4096, learning_rate=1e-2, schedule="linear", warmup=0.1,
    weight_decay=0.0, max_grad_norm=1.0, stop_grad_norm=1000.0, log_every=1,
)  # fmt: skip


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    use_threads(1)


def encoded(kind: str, count: int) -> list[Encoded]:
    tokenizer = toys.tokenizer(kind)
    contract = contract_of(tokenizer, kind, 400, {"summarise": 80})  # type: ignore[arg-type]
    return [encode_example(tokenizer, row["input"], row["target"], contract) for row in toys.examples(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_transformers_own_on_the_same_labels(kind: str) -> None:
    model, examples = toys.model(kind), encoded(kind, 5)
    batch = collate(examples, model.config.pad_token_id, kind)  # type: ignore[arg-type]
    theirs = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels).loss
    ours = response_loss(model, batch) / (batch.labels != IGNORED).sum()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_no_example_s_loss(kind: str) -> None:
    model, examples = toys.model(kind), encoded(kind, 6)
    pad = model.config.pad_token_id
    alone = sum(float(response_loss(model, collate([example], pad, kind)).detach()) for example in examples)  # type: ignore[arg-type]
    together = float(response_loss(model, collate(examples, pad, kind)).detach())  # type: ignore[arg-type]
    assert together == pytest.approx(alone, rel=1e-5)


def test_only_the_answer_and_its_end_token_carry_loss_even_where_padding_is_the_end_token() -> None:
    examples = encoded("causal", 4)
    tokenizer = toys.tokenizer("causal")
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    batch = collate(examples, tokenizer.pad_token_id, "causal")
    for row, example in zip(batch.labels.tolist(), examples, strict=True):
        carried = [token for token in row if token != IGNORED]
        assert carried == example.response
        assert carried[-1] == tokenizer.eos_token_id
        assert row[: len(example.prompt)] == [IGNORED] * len(example.prompt)


def test_an_epoch_shows_each_example_once_with_little_padding() -> None:
    examples = [Encoded([1] * length, [2]) for length in range(1, 200)]
    lengths = [len(example) for example in examples]
    batches = order(lengths, 4, seed=3, grouped=True)
    assert sorted(index for batch in batches for index in batch) == list(range(199))
    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
    assert padded < 1.1 * sum(lengths)
    assert [lengths[batch[0]] for batch in batches] != sorted(lengths[batch[0]] for batch in batches)


def test_encoded_examples_on_disk_are_the_same_as_in_memory() -> None:
    tokenizer = toys.tokenizer("causal")
    contract = contract_of(tokenizer, "causal", 400, {"summarise": 80})
    assert list(Instructions(encode_examples(toys.examples(7), tokenizer, contract))) == encoded("causal", 7)


def set_up(kind: str, packed: bool, seed: int = 5, **changes: float) -> Setup:
    model, examples = toys.model(kind), encoded(kind, 3)
    pad = model.config.pad_token_id
    assert pack(model, examples, pad) == (kind == "causal") if packed else True
    model.train()
    world = World(0, 1, torch.device("cpu"))
    return Setup(
        ResponseLoss(model),
        kind,
        packed and kind == "causal",
        pad,
        seed,
        "fp32",
        world,
        SETTINGS.model_copy(update=changes),
    )  # type: ignore[arg-type]


def train(
    kind: str, packed: bool = True, look_every: int = 4, patience: int | None = None, **changes: float
) -> tuple[list[dict[str, float]], Setup, dict[str, Any]]:
    setup, examples = set_up(kind, packed, **changes), encoded(kind, 20)
    care = Care(look_every=look_every, patience=patience, save_every=100, keep=2)
    logged: list[dict[str, float]] = []
    done = fit(
        setup, examples[:16], examples[16:], care, Checkpoints(Path("training"), {}, 2), Asking(),
        lambda values, step: logged.append({"step": step, **values}), lambda values, step: None,
    )  # fmt: skip
    Checkpoints(Path("training"), {}, 2).clear()
    return logged, setup, done


GOLDEN = {"causal": (6.40096, 5.69785), "seq2seq": (19.76377, 11.07500)}  # dev loss before and after


@pytest.mark.parametrize("kind", KINDS)
def test_the_loop_gives_its_golden_losses(kind: str) -> None:
    logged, _, _ = train(kind, packed=False)
    dev = [values["dev_loss"] for values in logged if "dev_loss" in values]
    assert (dev[0], dev[-1]) == pytest.approx(GOLDEN[kind], abs=2e-3)


def test_the_same_seed_gives_the_same_weights_bit_for_bit() -> None:
    first, second = (train("causal")[1].model.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_loss_that_is_not_finite_stops_the_step_with_a_sentence() -> None:
    setup, examples = set_up("causal", True), encoded("causal", 4)
    with torch.no_grad():
        setup.model.model.model.norm.weight.fill_(float("nan"))  # type: ignore[union-attr]
    with pytest.raises(TrainingError, match=r"the loss is nan at step 1.*learning_rate"):
        fit(
            setup,
            examples,
            examples,
            Care(look_every=1, patience=None, save_every=1, keep=2),
            Checkpoints(Path("training"), {}, 2),
            Asking(),
            lambda values, step: None,
            lambda values, step: None,
        )


def test_mean_loss_weighs_every_response_token_alike() -> None:
    whole = mean_loss(set_up("causal", True, batch_size=6), encoded("causal", 6))
    assert mean_loss(set_up("causal", True, batch_size=1), encoded("causal", 6)) == pytest.approx(whole, rel=1e-5)


def test_the_weights_with_the_lowest_dev_loss_are_the_ones_that_are_kept() -> None:
    logged, setup, done = train("causal", look_every=1, learning_rate=0.05, schedule="constant")
    looked = {row["step"]: row["dev_loss"] for row in logged if "dev_loss" in row and row["step"]}
    best = min(looked, key=looked.__getitem__)
    print(looked)
    assert best < max(looked)  # else the test shows nothing
    assert (done["best_step"], done["dev_loss_after"]) == (best, looked[best])
    assert mean_loss(setup, encoded("causal", 20)[16:]) == pytest.approx(looked[best], rel=1e-6)


def test_a_training_that_gets_no_better_ends_early() -> None:
    _, _, done = train("causal", look_every=1, patience=2, learning_rate=0.3, schedule="constant")
    assert done["steps"] == done["best_step"] + 2 < 8


def test_dropout_needs_no_state_two_trainings_with_it_are_the_same() -> None:
    def losses() -> list[float]:
        setup = set_up("seq2seq", False)
        for module in setup.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.3
        torch.rand(int(torch.randint(1, 99, ())))  # whatever was drawn before must not matter
        logged: list[float] = []
        care = Care(look_every=99, patience=None, save_every=99, keep=2)
        fit(
            setup, encoded("seq2seq", 8), encoded("seq2seq", 2), care, Checkpoints(Path("training"), {}, 2), Asking(),
            lambda values, step: logged.append(values.get("loss", 0.0)), lambda values, step: None,
        )  # fmt: skip
        Checkpoints(Path("training"), {}, 2).clear()
        return logged

    torch.seed()
    first = losses()
    assert losses() == first
    assert first != [row.get("loss", 0.0) for row in train("seq2seq", packed=False)[0]]
