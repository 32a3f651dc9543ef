"""Compiled blocks: the same gradients, compiled once for all lengths, and never in the way of a training."""

from collections.abc import Iterator

import pytest
import torch
from torch._inductor import config as inductor_config

from tasks.errors import ParamsError
from tasks.model.adapter import Lora, Method, prepare
from tasks.model.attention import pack
from tasks.model.batches import Kind
from tasks.model.compiled import PAYS, compile_blocks, pays
from tasks.model.distributed import World
from tasks.model.encode import Encoded
from tasks.model.loss import ResponseLoss
from tasks.model.optimizer import Optimizer
from tasks.model.setup import Setup, mean_loss
from tests import toys
from tests.toys import PARAMS

LONG = float("inf")  # operations
SIZES = [[(20, 5), (31, 4)], [(11, 3), (25, 6), (7, 3)], [(40, 9)], [(9, 2), (9, 3), (8, 8), (30, 2)]]


def part(sizes: list[tuple[int, int]]) -> list[Encoded]:
    return [Encoded(list(range(10, 10 + prompt)), list(range(60, 60 + answer))) for prompt, answer in sizes]


def ready(kind: Kind, method: Method) -> Setup:
    model = toys.model(kind)
    packed = pack(model, part(SIZES[0]), 0)
    torch.manual_seed(1)
    model = prepare(model, method, Lora(rank=4, alpha=8, dropout=0.0), "fp32").train()
    alone = World(0, 1, torch.device("cpu"))
    return Setup(ResponseLoss(model), kind, packed, 0, 3, "fp32", alone, Optimizer(**PARAMS["optimizer"]))


def gradients(setup: Setup, sizes: list[tuple[int, int]]) -> dict[str, torch.Tensor]:
    setup.model.zero_grad()
    for loss in setup.losses(part(sizes), 1.0):
        loss.backward()  # type: ignore[no-untyped-call]
    return {name: one.grad.clone() for name, one in setup.model.named_parameters() if one.grad is not None}


@pytest.fixture
def no_compiler() -> Iterator[None]:
    torch.compiler.reset()
    with inductor_config.patch({"cpp.cxx": (None, "no-such-compiler"), "compile_threads": 1}):
        yield


def test_a_short_training_and_a_padded_one_are_not_compiled_on_a_cpu() -> None:
    least = PAYS * torch.get_num_threads()
    assert pays(ready("causal", "lora"), 1.1 * least)
    assert not pays(ready("causal", "lora"), 0.9 * least)
    assert not pays(ready("seq2seq", "lora"), LONG)
    assert compile_blocks("auto", ready("causal", "lora"), part(SIZES[0]), 0.9 * least).why.endswith("would not pay")


def test_without_a_compiler_a_training_goes_on_uncompiled_and_says_so(no_compiler: None) -> None:
    setup = ready("causal", "lora")
    before = gradients(setup, SIZES[1])
    compiled = compile_blocks("auto", setup, part(SIZES[0]), LONG)
    assert (compiled.done, compiled.why) == (False, "not compiled: no C++ compiler (g++) was found")
    assert all(one.grad is None for one in setup.model.parameters())
    after = gradients(setup, SIZES[1])
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_what_cannot_be_compiled_and_is_asked_for_is_refused_with_the_cause(no_compiler: None) -> None:
    with pytest.raises(ParamsError, match=r"compile = always, but no C\+\+ compiler .* set auto or never"):
        compile_blocks("always", ready("causal", "lora"), part(SIZES[0]), LONG)


@pytest.mark.long
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("kind", ["causal", pytest.param("seq2seq", marks=pytest.mark.nightly)])
def test_compiled_blocks_give_the_same_gradients_and_are_compiled_once(kind: Kind, method: Method) -> None:
    torch.compiler.reset()
    plain, setup = ready(kind, method), ready(kind, method)
    assert compile_blocks("always", setup, part(SIZES[0]), 0.0).done
    for sizes in SIZES:
        with torch.compiler.set_stance("fail_on_recompile"):
            found = gradients(setup, sizes)
        expected = gradients(plain, sizes)
        assert expected.keys() == found.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5)
    assert mean_loss(setup, part(SIZES[1])) == pytest.approx(mean_loss(plain, part(SIZES[1])), rel=1e-6)
