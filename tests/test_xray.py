"""tasks/model/xray: every way of labelling wrong is refused by name, and sound examples pass, in every form of batch."""

import functools
import itertools
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer

from tasks.errors import TrainingError
from tasks.model.batches import IGNORED, Batch, collate
from tasks.model.encode import Encoded, contract_of, encode_example
from tasks.model.xray.checks import CHECKS
from tasks.model.xray.examine import XRay, check_initial_loss, require_sound, xray
from tasks.model.xray.judge import Limits
from tests import toys

LLAMA_CHAT = (
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}] {{ message['content'] | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
BAD = 3  # the example that is broken, so that it is neither the first nor the last of its batch


@functools.cache
def llama_tokenizer(chat: bool) -> transformers.PreTrainedTokenizerFast:
    """Adds <s> by its post-processor, and writes it in its chat template as well: encoded naively, there are two."""
    bpe = Tokenizer(BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=600, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    bpe.train_from_iterator((row["document"] for row in toys.articles()), trainer)
    bpe.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", unk_token="<unk>",  # noqa: S106
        chat_template=LLAMA_CHAT if chat else None,
    )  # fmt: skip


@functools.cache
def t5_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """Normalises white space and knows no brace, as T5's does: its text is never quite what was put in."""
    bpe = Tokenizer(BPE(unk_token="<unk>"))  # noqa: S106
    bpe.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = BpeTrainer(vocab_size=600, special_tokens=["<pad>", "</s>", "<unk>"], show_progress=False)
    bpe.train_from_iterator((row["document"].replace("{", "") for row in toys.articles()), trainer)
    bpe.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="</s>", pad_token="<pad>", unk_token="<unk>",  # noqa: S106
    )  # fmt: skip


@dataclass
class Bench:
    """One run's data, all sound until a test breaks a part of it."""

    kind: Any
    packed: bool
    tokenizer: transformers.PreTrainedTokenizerFast
    rows: list[dict[str, str]]

    def __post_init__(self) -> None:
        self.contract = contract_of(self.tokenizer, self.kind, 400, {"summarise": 80})
        self.limits = Limits(context=1024 if self.kind == "causal" else None, vocabulary=len(self.tokenizer))
        self.examples = [
            encode_example(self.tokenizer, row["input"], row["target"], self.contract) for row in self.rows
        ]
        self.change: Callable[[Batch], Batch] = lambda batch: batch

    def make_batch(self, examples: Sequence[Encoded]) -> Batch:
        return self.change(collate(examples, self.contract.pad_token_id, self.kind, self.packed))

    def look(self) -> XRay:
        return xray(self.rows, self.examples, self.make_batch, self.tokenizer, self.contract, self.limits)

    def encode_as(self, prompt: list[int] | None = None, response: list[int] | None = None) -> None:
        """Give the bad example other ids."""
        old = self.examples[BAD]
        self.examples[BAD] = Encoded(
            old.prompt if prompt is None else prompt, old.response if response is None else response
        )


FORMS: dict[str, Callable[[], Bench]] = {
    "packed": lambda: Bench("causal", True, toys.tokenizer("causal"), toys.examples(20)),
    "padded": lambda: Bench("causal", False, toys.tokenizer("causal"), toys.examples(20)),
    "seq2seq": lambda: Bench("seq2seq", False, toys.tokenizer("seq2seq"), toys.examples(20)),
    "llama chat": lambda: Bench("causal", True, llama_tokenizer(chat=True), toys.examples(20)),
    "llama plain": lambda: Bench("causal", False, llama_tokenizer(chat=False), toys.examples(20)),
    "t5": lambda: Bench("seq2seq", False, t5_tokenizer(), toys.examples(20)),
}


@pytest.mark.parametrize("form", FORMS)
def test_sound_examples_pass_and_are_counted(form: str) -> None:
    bench = FORMS[form]()
    seen = bench.look()
    require_sound(seen)
    prompts, answers = ([len(getattr(one, part)) for one in bench.examples] for part in ("prompt", "response"))
    assert seen.examples == seen.counts.examples == seen.families["summarise"].examples == 20
    assert (seen.counts.prompt_tokens, seen.counts.longest_prompt) == (sum(prompts), max(prompts))
    assert (seen.counts.loss_tokens, seen.counts.longest_answer) == (sum(answers), max(answers))
    assert seen.counts.share == sum(answers) / sum(prompts + answers)


@pytest.mark.parametrize("form", FORMS)
def test_odd_texts_are_no_faults(form: str) -> None:
    bench = FORMS[form]()
    texts = [
        "  spaces  at   both ends \n",
        "{braces} <|im_end|> </s> <s>",
        "naïve café ½ ﬁ 😀\u2028",
        "a\n\n\nb\tc",
    ]
    for row, text in zip(bench.rows, texts, strict=False):
        row["input"], row["target"] = f"Say.\n\n{text}", text
    bench.__post_init__()
    require_sound(bench.look())


def mask_where(batch: Batch, value: int) -> Batch:
    """The stock LM collator: every label that equals the padding is padding."""
    return replace(batch, labels=batch.labels.masked_fill(batch.labels == value, IGNORED))


def relabel(batch: Batch, labels: torch.Tensor) -> Batch:
    return replace(batch, labels=labels)


def only_bad(batch: Batch, bench: Bench, change: Callable[[list[int]], list[int]]) -> Batch:
    """Change the labels of the bad example alone, in the first batch alone."""
    if batch.lengths[:4] != tuple(
        len(one.prompt) + (len(one.response) if bench.kind == "causal" else 0) for one in bench.examples[:4]
    ):
        return batch
    labels = batch.labels.clone()
    row, start = (0, sum(batch.lengths[:BAD])) if bench.packed else (BAD, 0)
    end = start + batch.lengths[BAD] if bench.kind == "causal" else labels.shape[1]
    labels[row, start:end] = torch.tensor(change(labels[row, start:end].tolist()))
    return relabel(batch, labels)


def labels_of_bad(change: Callable[[list[int]], list[int]]) -> Callable[[Bench], None]:
    def breaks(bench: Bench) -> None:
        bench.change = lambda batch: only_bad(batch, bench, change)

    return breaks


def batches(change: Callable[[Batch, Bench], Batch]) -> Callable[[Bench], None]:
    def breaks(bench: Bench) -> None:
        bench.change = lambda batch: change(batch, bench)

    return breaks


def example(change: Callable[[Encoded, Bench], dict[str, list[int]]]) -> Callable[[Bench], None]:
    def breaks(bench: Bench) -> None:
        bench.encode_as(**change(bench.examples[BAD], bench))

    return breaks


def swap_responses(bench: Bench) -> None:
    one, other = bench.examples[BAD], bench.examples[BAD + 1]
    bench.examples[BAD], bench.examples[BAD + 1] = (
        Encoded(one.prompt, other.response),
        Encoded(other.prompt, one.response),
    )


def swap_prompts(bench: Bench) -> None:
    one, other = bench.examples[BAD], bench.examples[BAD + 1]
    bench.examples[BAD], bench.examples[BAD + 1] = (
        Encoded(other.prompt, one.response),
        Encoded(one.prompt, other.response),
    )


def shift(labels: list[int]) -> list[int]:
    return [*labels[1:], IGNORED]


def gap(labels: list[int]) -> list[int]:
    places = [place for place, label in enumerate(labels) if label != IGNORED]
    return [IGNORED if place == places[len(places) // 2] else label for place, label in enumerate(labels)]


def skip_first(labels: list[int]) -> list[int]:
    first = next(place for place, label in enumerate(labels) if label != IGNORED)
    return [IGNORED if place <= first + 1 else label for place, label in enumerate(labels)]


def pads_with_loss(batch: Batch, bench: Bench) -> Batch:
    pad = bench.contract.pad_token_id
    outside = batch.labels == IGNORED if bench.kind == "seq2seq" else batch.attention_mask == 0
    assert outside.any()
    return relabel(batch, batch.labels.masked_fill(outside, pad))


def own_control_token(bench: Bench, part: str) -> None:
    """Encode a row that speaks of a control token as the plain tokenizer does: the token becomes real."""
    token = bench.tokenizer.eos_token
    row = bench.rows[BAD]
    row[part] = f"Before {token} after."
    ids = bench.tokenizer(row[part], add_special_tokens=False)["input_ids"]
    sound = encode_example(bench.tokenizer, row["input"], row["target"], bench.contract)
    if part == "target":
        bench.encode_as(sound.prompt, [*ids, bench.contract.end_token_id])
    else:
        text = bench.tokenizer(row[part], add_special_tokens=False, split_special_tokens=True)["input_ids"]
        start = next(place for place in range(len(sound.prompt)) if sound.prompt[place : place + len(text)] == text)
        bench.encode_as([*sound.prompt[:start], *ids, *sound.prompt[start + len(text) :]], sound.response)


def naively_encoded(bench: Bench) -> None:
    """Render the chat and tokenize the text: the template's <s> and the tokenizer's own stand behind each other."""
    chat = [{"role": "user", "content": bench.rows[BAD]["input"]}]
    text = bench.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    bench.encode_as(prompt=bench.tokenizer(text)["input_ids"])


CAUSAL, ALL, PADDED = ["packed", "padded"], ["packed", "padded", "seq2seq"], ["padded", "seq2seq"]
Case = tuple[str, list[str], Callable[[Bench], None], str]
CASES: list[Case] = [
    # what breaks, the forms that it can break in, how, what is said of it
    ("the answer is empty", ALL, example(lambda one, bench: {"response": []}), "no token of it carries loss"),
    ("only the end token is left", ALL, example(lambda one, bench: {"response": one.response[-1:]}), "only its end token carries loss"),
    ("all labels are masked", ALL, labels_of_bad(lambda labels: [IGNORED] * len(labels)), "no token of it carries loss"),
    ("right truncation takes the answer", CAUSAL, example(lambda one, bench: {"response": [], "prompt": one.prompt[:50]}), "no token of it carries loss"),
    ("the end token is not there", ALL, example(lambda one, bench: {"response": one.response[:-1]}), "end token '.*' carries no loss"),
    ("end tokens are masked as padding", ALL, batches(lambda batch, bench: mask_where(batch, bench.contract.end_token_id)), "end token '.*' carries no loss; 20 of 20"),
    ("prompts carry loss", ["packed"], batches(lambda batch, bench: relabel(batch, batch.input_ids)), "before the answer carries loss too.*; 20 of 20"),
    ("the whole row carries loss", ["padded"], batches(lambda batch, bench: relabel(batch, batch.input_ids)), "padding tokens carry loss"),
    ("the prompt's end carries loss", ALL, example(lambda one, bench: {"prompt": one.prompt[:-5], "response": one.prompt[-5:] + one.response}), "before the answer carries loss too"),
    ("padding carries loss", PADDED, batches(pads_with_loss), r"\d+ padding tokens carry loss"),
    ("the answer is cut", ALL, example(lambda one, bench: {"response": [*one.response[:7], one.response[-1]]}), "its answer ends too early, '.*' is cut off"),
    ("the answer's beginning is masked", CAUSAL, labels_of_bad(skip_first), "only the end of its answer carries loss"),
    ("the answer's beginning is masked", ["seq2seq"], labels_of_bad(skip_first), "the first 2 ids of its answer carry no loss"),
    ("two answers are swapped", ALL, swap_responses, "what carries loss is '.*', but the row's target is '.*; 2 of 20"),
    ("labels are shifted once too often", CAUSAL, labels_of_bad(shift), "its labels are not the ids that stand at their places"),
    ("loss has a gap", ALL, labels_of_bad(gap), "loss has gaps"),
    ("the prompt is cut", CAUSAL, example(lambda one, bench: {"prompt": one.prompt[:40] + one.prompt[-8:]}), r"its prompt of 48 tokens holds the first \d+ of the \d+ characters"),
    ("the prompt is cut", ["seq2seq"], example(lambda one, bench: {"prompt": one.prompt[:40] + one.prompt[-1:]}), r"its prompt of 41 tokens holds the first \d+ of the \d+ characters"),
    ("two prompts are swapped", ALL, swap_prompts, r"holds the first \d+ of the \d+ characters.*; 2 of 20"),
    ("a control token of the text is real", ALL, lambda bench: own_control_token(bench, "input"), "the control tokens of its prompt are .*; the frame's are"),
    ("a control token of the target is real", ["packed", "padded"], lambda bench: own_control_token(bench, "target"), "its answer holds the control token"),
    ("the answer's header is missing", CAUSAL, example(lambda one, bench: {"prompt": one.prompt[: max(place for place, number in enumerate(one.prompt) if number == 2)]}), "the frame's are"),
    ("T5's end of input is missing", ["seq2seq", "t5"], example(lambda one, bench: {"prompt": one.prompt[:-1]}), "the control tokens of its prompt are none; the frame's are </s>"),
    ("BOS is missing", ["llama chat", "llama plain"], example(lambda one, bench: {"prompt": one.prompt[1:]}), "it begins with 0 BOS tokens and its format asks for 1"),
    ("BOS stands twice", ["llama plain", "packed"], example(lambda one, bench: {"prompt": one.prompt[:1] + one.prompt}), "it begins with 2 BOS tokens and its format asks for 1"),
    ("template and tokenizer both write BOS", ["llama chat"], naively_encoded, "it begins with 2 BOS tokens and its format asks for 1: <s> <s>"),
    ("the mask is missing", PADDED, batches(lambda batch, bench: replace(batch, attention_mask=None)), "no attention mask; 20 of 20"),
    ("padding is attended to", PADDED, batches(lambda batch, bench: replace(batch, attention_mask=torch.ones_like(batch.input_ids))), "its attention mask lets the model see"),
    ("a mask is another row's", PADDED, batches(lambda batch, bench: replace(batch, attention_mask=batch.attention_mask.flip(0))), "its attention mask lets the model see"),
    ("a mask has another shape", PADDED, batches(lambda batch, bench: replace(batch, attention_mask=batch.attention_mask[:, 1:])), "an attention mask of shape"),
    ("a packed batch has a mask", ["packed"], batches(lambda batch, bench: replace(batch, attention_mask=torch.ones_like(batch.input_ids))), "packed and has an attention mask"),
    ("positions run on", ["packed"], batches(lambda batch, bench: replace(batch, position_ids=torch.arange(batch.input_ids.shape[1])[None])), "its positions in a packed batch are"),
    ("positions are missing", ["packed"], batches(lambda batch, bench: replace(batch, position_ids=None)), "its batch has 1 rows of"),
    ("an encoder-decoder is packed", ["seq2seq"], batches(lambda batch, bench: replace(batch, lengths=(batch.input_ids.shape[1],), input_ids=batch.input_ids[:1], position_ids=torch.arange(batch.input_ids.shape[1])[None])), "has the lengths of 1"),
    ("an id is too high", ALL, example(lambda one, bench: {"prompt": [*one.prompt[:9], 600, *one.prompt[9:]]}), "it has the id 600; the model's embedding has 600 rows"),
    ("an id is negative", ALL, example(lambda one, bench: {"prompt": [*one.prompt[:9], -1, *one.prompt[9:]]}), "it has the id -1;"),
    ("the embedding is smaller than the tokenizer", ALL, lambda bench: setattr(bench, "limits", Limits(1024, 250)), r"it has the id \d+; the model's embedding has 250 rows; 20 of 20"),
    ("the context is too short", ALL, lambda bench: setattr(bench, "limits", Limits(100, 600)), r"it has \d+ tokens, and the model reads 100"),
    ("lengths are off by one", ["packed"], batches(lambda batch, bench: replace(batch, lengths=(batch.lengths[0] + 1, batch.lengths[1] - 1, *batch.lengths[2:]))), r"it has \d+ tokens, but its batch holds \d+ for it"),
    ("a length is missing", ALL, batches(lambda batch, bench: replace(batch, lengths=batch.lengths[1:])), "has the lengths of 7; 20 of 20"),
    ("a row is missing", PADDED, batches(lambda batch, bench: replace(batch, input_ids=batch.input_ids[1:])), "its lengths ask for 8 rows"),
    ("labels have another shape", ALL, batches(lambda batch, bench: relabel(batch, batch.labels[1:])), "labels of shape"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("form", "breaks", "said"),
    [pytest.param(form, breaks, said, id=f"{name}-{form}") for name, forms, breaks, said in CASES for form in forms],
)
def test_each_fault_is_refused_by_name(form: str, breaks: Callable[[Bench], None], said: str) -> None:
    bench = FORMS[form]()
    breaks(bench)
    seen = bench.look()
    with pytest.raises(TrainingError) as refused:
        require_sound(seen)
    sentence = str(refused.value)
    assert re.search(said, sentence), sentence
    assert re.match(r"example summarise/toy:\d+ \(family summarise, template gist\): ", sentence)
    assert CHECKS[seen.findings[0].fault.check].cure in sentence
    assert "  FAULT  " in seen.text
    if "1 of 20 examples" in sentence and "lengths" not in seen.findings[0].fault.check:
        assert f"example summarise/toy:{BAD} " in sentence


def test_every_check_is_made_to_fail_by_some_case() -> None:
    failed = set()
    for _, forms, breaks, _ in CASES:
        bench = FORMS[forms[0]]()
        breaks(bench)
        failed.add(bench.look().findings[0].fault.check)
    assert failed == set(CHECKS)


def test_an_error_tells_how_many_have_the_fault_and_what_else_is_wrong() -> None:
    bench = FORMS["padded"]()
    for place in (5, 9, 11):
        bench.examples[place] = Encoded(bench.examples[place].prompt, bench.examples[place].response[:-1])
    bench.encode_as(prompt=bench.examples[BAD].prompt[1:])
    with pytest.raises(
        TrainingError, match=r"^example summarise/toy:5 .*; 3 of 20 examples .*; 1 another \(it begins with 0"
    ):
        require_sound(bench.look())


def test_fewer_examples_than_rows_and_no_rows_are_refused() -> None:
    bench = FORMS["padded"]()
    bench.examples.pop()
    with pytest.raises(TrainingError, match="20 rows of data were encoded to 19 examples"):
        bench.look()
    bench.rows, bench.examples = [], []
    with pytest.raises(TrainingError, match="0 rows of data"):
        bench.look()


@pytest.mark.parametrize(("choice", "cut"), [("cut", 1), ("refuse", 0)])
def test_a_prompt_that_was_cut_is_counted_where_the_contract_allows_it_and_refused_elsewhere(
    choice: str, cut: int
) -> None:
    bench = FORMS["packed"]()
    longest = bench.examples[BAD]
    bench.contract = bench.contract.model_copy(update={"long_prompts": choice, "max_prompt_tokens": 60})
    bench.encode_as(prompt=longest.prompt[:40] + longest.prompt[-20:])
    seen = bench.look()
    assert seen.counts.prompts_cut == cut
    assert f"cut to finetune.max_prompt_tokens: {cut} of 20" in seen.text
    if cut:
        require_sound(seen)
    else:
        with pytest.raises(TrainingError, match="its prompt of 60 tokens holds the first"):
            require_sound(seen)


def test_a_prompt_shorter_than_the_limit_may_not_be_cut_even_where_cutting_is_allowed() -> None:
    bench = FORMS["packed"]()
    bench.contract = bench.contract.model_copy(update={"long_prompts": "cut"})
    bench.encode_as(prompt=bench.examples[BAD].prompt[:40] + bench.examples[BAD].prompt[-20:])
    with pytest.raises(TrainingError, match="its prompt of 60 tokens holds the first"):
        require_sound(bench.look())


@pytest.mark.parametrize("form", ["packed", "seq2seq", "t5"])
def test_the_text_shows_one_example_of_every_family_and_template_and_is_the_same_twice(form: str) -> None:
    texts = []
    for _ in range(2):
        bench = FORMS[form]()
        for place, row in enumerate(bench.rows):
            row["template"] = ("short", "lead", "gist")[place % 3]
        texts.append(bench.look().text)
    titles = re.findall(r"^── (\S+ / \S+) ─", texts[0], re.MULTILINE)
    assert titles == ["summarise / gist", "summarise / lead", "summarise / short"]
    assert texts[0] == texts[1]
    assert "FAULT" not in texts[0]
    assert len(re.findall(r"^  ok  .* 0 do not$", texts[0], re.MULTILINE)) == len(CHECKS)


@pytest.mark.parametrize("form", ["packed", "padded"])
def test_what_stands_between_the_marks_is_the_answer_and_its_end_token(form: str) -> None:
    bench = FORMS[form]()
    text = bench.look().text.split("── ")[1]
    (marked,) = re.findall("«(.*?)»", " ".join(text.split()))
    assert marked == " ".join(bench.rows[0]["target"].split()) + "⟦<|im_end|>⟧"
    table = re.findall(r"^ +(\d+) +(\d+) +(loss|-)  (.*)$", text, re.MULTILINE)
    response, start = bench.examples[0].response, len(bench.examples[0].prompt)
    assert [(int(place), int(number)) for place, number, loss, _ in table if loss == "loss"] == [
        (start + place, number) for place, number in enumerate(response)
    ]
    skipped = int(re.findall(r"… (\d+) prompt tokens without loss …", text)[0])
    assert skipped + len(table) == start + len(response)


def test_control_tokens_of_a_row_s_text_look_other_than_real_ones_and_nothing_moves_a_terminal() -> None:
    bench = FORMS["packed"]()
    bench.rows[0]["target"] = "No <|im_end|> here \x1b[2J."
    bench.__post_init__()
    flowing = " ".join(bench.look().text.split())
    assert r"«No <|im_end|> here \x1b[2J.⟦<|im_end|>⟧»" in flowing
    assert "\x1b" not in flowing


def test_a_broken_example_is_drawn_before_the_others_with_ids_that_no_tokenizer_knows() -> None:
    bench = FORMS["packed"]()
    bench.encode_as(response=[*bench.examples[BAD].response[:-1], 601, -7, bench.contract.end_token_id])
    seen = bench.look()
    first = seen.text.split("── ")[1]
    assert f"summarise/toy:{BAD}:" in first
    assert "⟦no token 601⟧" in first
    assert "FAULT   it has the id 601" in first


@pytest.mark.parametrize(
    ("loss", "why"),
    [(0.001, "the answer probably stands in the prompt"), (11.3, "chat template"), (float("nan"), "damaged"),
     (float("inf"), "damaged"), (float("-inf"), "damaged")],
)  # fmt: skip
def test_a_first_loss_out_of_band_is_refused_with_its_usual_cause(loss: float, why: str) -> None:
    with pytest.raises(TrainingError, match=rf"before the first step the loss is .* outside 0.05 to 8: .*{why}"):
        check_initial_loss(loss, 0.05, 8.0)


@pytest.mark.parametrize("loss", [0.05, 2.7, 8.0])
def test_a_first_loss_within_the_band_passes(loss: float) -> None:
    check_initial_loss(loss, 0.05, 8.0)


@pytest.mark.parametrize("form", ["packed", "seq2seq"])
def test_ten_thousand_examples_take_seconds(form: str) -> None:
    bench = FORMS[form]()
    bench.rows = list(itertools.islice(itertools.cycle(bench.rows), 10_000))
    bench.examples = list(itertools.islice(itertools.cycle(bench.examples), 10_000))
    started = time.perf_counter()
    require_sound(bench.look())
    assert time.perf_counter() - started < 30  # about 3 on two cores that have other work too
