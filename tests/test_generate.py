"""tasks/model/generate: the answers are those of transformers' own `generate`, whichever way they are written."""

import random
from collections.abc import Callable

import peft
import pytest
import torch
import transformers

from tasks.model import greedy
from tasks.model.encode import contract_of
from tasks.model.generate import Answer, generate
from tasks.model.load import Model
from tests import toys

torch.set_num_threads(1)  # toys are too small to be shared, and threads that wait for each other take longer
END = 3
SIZES = {
    "vocab_size": 600, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "bos_token_id": 2, "eos_token_id": END, "pad_token_id": END,
}  # fmt: skip


def gpt2() -> Model:
    """Learned positions, no shared key heads."""
    config = transformers.GPT2Config(
        vocab_size=600, n_embd=32, n_layer=2, n_head=4, n_positions=256, bos_token_id=2, eos_token_id=END,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config).eval()


def with_adapter() -> Model:
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    return peft.get_peft_model(toys.model("causal"), config).eval()


MODELS: dict[str, Callable[[], Model]] = {
    "llama": lambda: toys.model("causal"),
    "gpt2": gpt2,
    "adapter": with_adapter,
    "bloom": lambda: transformers.BloomForCausalLM(
        transformers.BloomConfig(
            vocab_size=600, hidden_size=32, n_layer=2, n_head=4, eos_token_id=END, pad_token_id=END
        )
    ).eval(),
    "mistral": lambda: transformers.MistralForCausalLM(transformers.MistralConfig(**SIZES, sliding_window=8)).eval(),
    "t5": lambda: toys.model("seq2seq"),
}
OVER_SLOTS = {"llama", "gpt2", "adapter"}


def made(name: str) -> Model:
    torch.manual_seed(7)
    model = MODELS[name]()
    with torch.no_grad():  # a random model's logits are nearly equal; these are as far apart as a trained one's
        model.get_output_embeddings().weight.mul_(8.0)
    return model


def prompts(count: int, longest: int = 60) -> list[list[int]]:
    """Random ids of many lengths; every second one begins like the others."""
    draw = random.Random(5)
    begin = [draw.randrange(10, 600) for _ in range(20)]
    own = [[draw.randrange(10, 600) for _ in range(draw.randrange(1, longest))] for _ in range(count)]
    return [begin + ids if at % 2 else ids for at, ids in enumerate(own)]


def by_transformers(model: Model, prompt: list[int], limit: int) -> list[int]:
    """The reference: one prompt, transformers' loop."""
    end = 1 if model.config.is_encoder_decoder else END
    settings = transformers.GenerationConfig(
        max_new_tokens=limit, do_sample=False, eos_token_id=end, pad_token_id=0, decoder_start_token_id=0
    )
    ids = torch.tensor([prompt])
    output = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings)[0].tolist()
    return output[1:] if model.config.is_encoder_decoder else output[len(prompt) :]


def answered(
    model: Model, given: list[list[int]], limits: list[int], batch_size: int, end: int | None = None
) -> list[Answer]:
    kind = "seq2seq" if model.config.is_encoder_decoder else "causal"
    contract = contract_of(toys.tokenizer(kind), kind, 400, {"summarise": 80})  # type: ignore[arg-type]
    if end is not None:
        contract = contract.model_copy(update={"end_token_id": end})
    return generate(model, toys.tokenizer(kind), given, limits, contract, batch_size)


def expected(model: Model, given: list[list[int]], limits: list[int]) -> list[Answer]:
    kind, end = ("seq2seq", 1) if model.config.is_encoder_decoder else ("causal", END)
    answers = []
    for prompt, limit in zip(given, limits, strict=True):
        ids = by_transformers(model, prompt, limit)
        written = ids[: ids.index(end)] if end in ids else ids
        text = toys.tokenizer(kind).decode(written, skip_special_tokens=True).strip()
        answers.append(Answer(text, len(written), end in ids))
    return answers


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_the_answers_are_those_of_transformers(name: str, batch_size: int) -> None:
    model, given = made(name), prompts(11)
    limits = [(1, 4, 12, 25)[at % 4] for at in range(len(given))]
    assert answered(model, given, limits, batch_size) == expected(model, given, limits)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_run_over_slots_only_if_it_says_the_same_and_is_left_as_it_was(name: str) -> None:
    model, given = made(name), prompts(3)
    before, plain = model.config._attn_implementation, by_transformers(model, given[1], 5)
    for prompt in (given[1], given[1][:1], given[1][:2]):
        assert greedy.suits(model, prompt) == (name in OVER_SLOTS)
    answered(model, given, [4] * 3, 2)
    assert model.config._attn_implementation == before
    assert by_transformers(model, given[1], 5) == plain


def test_a_model_whose_layers_see_less_is_refused_also_where_its_config_does_not_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(greedy, "reaches_less", lambda config: False)
    assert not greedy.suits(made("mistral"), prompts(2)[1])


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_a_base_model_s_own_generation_settings_change_no_answer(name: str) -> None:
    given = prompts(5)
    model = made(name)
    plain = answered(model, given, [12] * 5, 4)
    model.generation_config = transformers.GenerationConfig(repetition_penalty=50.0, no_repeat_ngram_size=1)
    assert answered(model, given, [12] * 5, 4) == plain


def test_an_end_token_at_once_gives_an_empty_answer_and_its_slot_to_the_next() -> None:
    model, given = made("llama"), prompts(9)
    first = by_transformers(model, given[4], 1)[0]
    answers = answered(model, given, [6] * 9, 2, end=first)
    assert answers[4] == Answer("", 0, True)
    assert len(answers) == 9


def test_a_row_that_never_ends_stops_at_its_limit_while_the_others_come_and_go() -> None:
    model, given = made("llama"), prompts(12)
    limits = [2] * 11 + [150]
    answers = answered(model, given, limits, 3, end=599)
    assert [answer.tokens for answer in answers] == limits
    assert not any(answer.finished for answer in answers)


def test_every_prompt_is_told_and_none_at_all_is_no_error() -> None:
    model, told, given = made("llama"), list[int](), prompts(5)
    contract = contract_of(toys.tokenizer("causal"), "causal", 400, {"summarise": 80})
    generate(model, toys.tokenizer("causal"), given, [3] * 5, contract, 2, told.append)
    assert sum(told) == 5
    assert generate(model, toys.tokenizer("causal"), [], [], contract, 2) == []


def test_a_run_that_breaks_off_leaves_the_model_as_it_was() -> None:
    model = made("llama")
    written = greedy.write(model, prompts(4), [3] * 4, END, 2)
    next(written)
    written.close()
    assert model.config._attn_implementation == made("llama").config._attn_implementation


def test_what_prompts_share_is_read_once() -> None:
    model, read = made("llama"), list[int]()
    model.get_input_embeddings().register_forward_pre_hook(lambda _, given: read.append(given[0].numel()))
    given = [[*range(10, 50), 60 + at] for at in range(6)]
    answers = dict(greedy.write(model, given, [1] * 6, END, 1))
    assert answers == {at: by_transformers(made("llama"), prompt, 1) for at, prompt in enumerate(given)}
    assert read[:6] == [41, 1, 1, 1, 1, 1]
