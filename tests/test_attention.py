"""tasks/model/attention: packed examples are as if alone, and a model that could not keep them apart is found out."""

from typing import Any

import pytest
import torch
import transformers
from torch.nn import functional

from tasks.model import attention
from tasks.model.attention import NAME, pack
from tasks.model.batches import Batch, collate
from tasks.model.encode import Encoded
from tasks.model.loss import response_loss
from tests import toys
from tests.test_fit import encoded


def gradients(model: torch.nn.Module, batches: list[Batch]) -> dict[str, torch.Tensor]:
    model.zero_grad()
    sum(response_loss(model, batch) for batch in batches).backward()  # type: ignore[union-attr]
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def test_packed_and_alone_give_the_same_loss_and_the_same_gradients() -> None:
    examples, plain, packed = encoded("causal", 5), toys.model("causal"), toys.model("causal")
    assert pack(packed, examples, 3)
    batch = collate(examples, 3, "causal", packed=True)
    assert batch.input_ids.shape == (1, sum(map(len, examples)))
    assert batch.attention_mask is None
    assert [int(start) for start in (batch.position_ids == 0).nonzero()[:, 1]] == [
        sum(batch.lengths[:at]) for at in range(5)
    ]  # type: ignore[attr-defined]
    alone = [collate([example], 3, "causal") for example in examples]
    torch.testing.assert_close(
        response_loss(packed, batch), sum(response_loss(plain, one) for one in alone), rtol=1e-5, atol=1e-5
    )
    wanted, got = gradients(plain, alone), gradients(packed, [batch])
    assert wanted.keys() == got.keys()
    for name in wanted:
        torch.testing.assert_close(got[name], wanted[name], rtol=1e-4, atol=1e-5)


def test_no_example_s_loss_moves_when_its_neighbour_changes() -> None:
    model, (first, second, third) = toys.model("causal"), encoded("causal", 3)
    assert pack(model, [first, second], 3)

    def of_second(neighbour: Encoded) -> float:
        both = response_loss(model, collate([neighbour, second], 3, "causal", packed=True))
        return float((both - response_loss(model, collate([neighbour], 3, "causal", packed=True))).detach())

    assert of_second(first) == pytest.approx(of_second(third), rel=1e-5)


def test_rotated_queries_and_keys_come_in_the_type_that_the_flash_kernel_takes() -> None:
    came: list[tuple[torch.dtype, ...]] = []

    def seen(module: torch.nn.Module, *inputs: Any, **options: Any) -> Any:
        came.append(tuple(tensor.dtype for tensor in inputs[:3]))
        came.append(tuple(tensor.dtype for tensor in attention.as_autocast(*inputs[:3])))
        return attention.packed_attention(module, *inputs, **options)

    model, examples = toys.model("causal"), encoded("causal", 3)
    transformers.AttentionInterface.register("seen", seen)
    model.set_attn_implementation("seen")
    with torch.autocast("cpu", torch.bfloat16):
        response_loss(model, collate(examples, 3, "causal", packed=True))
    whole, half = torch.float32, torch.bfloat16
    assert set(came) == {(whole, whole, half), (half, half, half)}


def one_row(
    *inputs: Any, lengths: tuple[int, ...] = (), scaling: float | None = None, **_: Any
) -> tuple[torch.Tensor, None]:
    """Attention that knows nothing of examples: what a missing mask leaves of packing."""
    query, key, value = inputs[1:4]
    answer = functional.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=True)
    return answer.transpose(1, 2), None


def test_a_model_whose_packed_examples_see_each_other_is_left_padded(monkeypatch: pytest.MonkeyPatch) -> None:
    model, examples = toys.model("causal"), encoded("causal", 3)
    before = model.config._attn_implementation
    transformers.AttentionInterface.register(NAME, one_row)
    try:
        assert not pack(model, examples, 3)
    finally:
        transformers.AttentionInterface.register(NAME, attention.packed_attention)
    assert model.config._attn_implementation == before


def test_a_model_that_looks_back_over_a_window_only_is_left_padded() -> None:
    config = transformers.MistralConfig(
        vocab_size=600, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024, sliding_window=16,
    )  # fmt: skip
    assert not pack(transformers.MistralForCausalLM(config).eval(), encoded("causal", 3), 3)


@pytest.mark.parametrize("family", ["GPT2", "OPT", "Qwen2", "Falcon", "GPTNeoX"])
def test_every_architecture_trains_on_its_own_loss_packed_or_padded(family: str) -> None:
    sizes: dict[str, Any] = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "ffn_dim": 64,
        "max_position_embeddings": 1024, "num_key_value_heads": 4, "word_embed_proj_dim": 32, "n_positions": 1024,
    }  # fmt: skip
    torch.manual_seed(1)
    examples = encoded("causal", 4)
    config = getattr(transformers, f"{family}Config")(vocab_size=600, **sizes)
    model = getattr(transformers, f"{family}{'LMHeadModel' if family == 'GPT2' else 'ForCausalLM'}")(config).eval()
    batch = collate(examples, 3, "causal")
    theirs = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels).loss.detach()
    packed = pack(model, examples, 3)
    together = float(response_loss(model, collate(examples, 3, "causal", packed)).detach())
    assert together == pytest.approx(float(theirs) * batch.supervised, rel=1e-4)
    assert packed == (family in {"GPT2", "OPT", "Qwen2", "GPTNeoX"})
