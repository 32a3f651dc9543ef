"""tasks/predict: answers do not depend on the batch, choices equal plain likelihoods, the contract is kept."""

import copy
import json
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import predict
from tasks.data.files import read_json, read_rows, write_json, write_rows
from tasks.data.suites.general import General
from tasks.errors import ContractError, TrainingError
from tasks.metrics.predictions import read_predictions
from tasks.model.choose import Option, encode_options, score
from tasks.model.encode import contract_of, encode_example, encode_prompt
from tasks.model.generate import generate
from tasks.model.load import load_tokenizer
from tasks.prompts import contract as prompt_contract
from tasks.prompts.templates import load_family, render
from tests import toys
from tests.test_xray import t5_tokenizer

KINDS = ["causal", "seq2seq"]


def plain_log_probability(model: torch.nn.Module, option: Option, kind: str) -> float:
    """The reference: one sequence, no cache, no batch."""
    with torch.inference_mode():
        if kind == "seq2seq":
            labels = torch.tensor([option.continuation])
            logits = model(input_ids=torch.tensor([option.context]), labels=labels).logits[0]
        else:
            ids = torch.tensor([option.context + option.continuation])
            logits = model(input_ids=ids).logits[0, len(option.context) - 1 : -1]
    return float(logits.log_softmax(-1).gather(1, torch.tensor(option.continuation)[:, None]).sum())


@pytest.mark.parametrize("kind", KINDS)
def test_scores_equal_plain_likelihoods_with_a_shared_prefix_and_without(kind: str) -> None:
    model, tokenizer = toys.model(kind), toys.tokenizer(kind)
    shots = "Water is wet.\nAnswer: A\n\n" * 5
    for preamble in ("", shots):
        options = [
            encode_options(tokenizer, [(preamble + f"Question {stem}\nAnswer:", text)], kind)[0]
            for stem in ("of the sea", "what police said on Monday")
            for text in (" A", " B", " a longer answer with words", " no")
        ]
        expected = [plain_log_probability(model, option, kind) for option in options]
        for size in (1, 3, 8):
            assert score(model, options, size) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_does_not_depend_on_what_else_is_in_the_batch(kind: str) -> None:
    model, tokenizer = toys.model(kind), toys.tokenizer(kind)
    contract = contract_of(tokenizer, kind, 400, {"summarise": 12})  # type: ignore[arg-type]
    prompts = [encode_prompt(tokenizer, row["input"], contract) for row in toys.examples(5)]
    together = generate(model, tokenizer, prompts, [12, 12, 4, 12, 12], contract, 5)
    alone = [
        generate(model, tokenizer, [prompt], [limit], contract, 1)[0]
        for prompt, limit in zip(prompts, [12, 12, 4, 12, 12], strict=True)
    ]
    assert together == alone
    assert all(answer.tokens <= 12 for answer in together)


MARKERS = ["<|im_start|>", "<|im_end|>", "</s>", "<pad>", "<think>", "<tool_call>", "[INST]", "<<SYS>>"]


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, transformers.PreTrainedTokenizerBase]:
    """Toy tokenizers with added tokens that are not declared special, as they are after a load from disk."""
    loaded = {}
    for kind in ("causal", "plain", "seq2seq"):
        tokenizer = copy.deepcopy(toys.tokenizer("seq2seq" if kind == "seq2seq" else "causal"))
        tokenizer.add_tokens(["<think>", "<tool_call>"])
        if kind == "plain":
            tokenizer.chat_template = None
        folder = tmp_path_factory.mktemp(kind)
        tokenizer.save_pretrained(folder)
        loaded[kind] = load_tokenizer(folder)
    return loaded


@pytest.mark.parametrize("kind", ["causal", "plain", "seq2seq"])
@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(st.sampled_from(MARKERS), st.text(alphabet=st.characters(exclude_categories=["Cs"]))), min_size=1
    )
)
def test_control_tokens_in_a_text_stay_text_and_come_back_as_they_were(
    marked: dict[str, transformers.PreTrainedTokenizerBase], kind: str, parts: list[str]
) -> None:
    tokenizer, text = marked[kind], "".join(parts)
    contract = contract_of(tokenizer, "seq2seq" if kind == "seq2seq" else "causal", 4000, {"summarise": 12})
    control = set(tokenizer.get_added_vocab().values())
    frame = [token for token in encode_prompt(tokenizer, "hello", contract) if token in control]
    example = encode_example(tokenizer, text, text, contract)
    assert tokenizer.decode(example.response[:-1]) == text
    assert control.isdisjoint(example.response[:-1])
    if kind == "seq2seq":  # a T5's prompt goes by declared special tokens alone
        control -= {tokenizer.convert_tokens_to_ids(token) for token in ("<think>", "<tool_call>")}
    assert [token for token in example.prompt if token in control] == frame
    assert text.strip() in tokenizer.decode(example.prompt)


def test_a_prompt_over_the_limit_is_refused_without_a_word_of_it() -> None:
    tokenizer = toys.tokenizer("causal")
    contract = contract_of(tokenizer, "causal", 20, {"summarise": 12})
    with pytest.raises(TrainingError, match=r"more than finetune.max_prompt_tokens = 20") as refused:
        encode_prompt(tokenizer, "Tell me " * 50, contract)
    assert "Tell me" not in str(refused.value)


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_a_prompt_that_may_be_cut_loses_its_middle_and_keeps_its_frame(kind: str) -> None:
    tokenizer = toys.tokenizer(kind)
    uncut = contract_of(tokenizer, kind, 4000, {"summarise": 12})  # type: ignore[arg-type]
    contract = contract_of(tokenizer, kind, 60, {"summarise": 12}, "cut")  # type: ignore[arg-type]
    text = "Summarise this. " + "word " * 200 + " Do it now."
    whole, ids = encode_prompt(tokenizer, text, uncut), encode_prompt(tokenizer, text, contract)
    assert (len(ids), ids[:30], ids[30:]) == (60, whole[:30], whole[-30:])
    assert encode_prompt(tokenizer, "Short.", contract) == encode_prompt(tokenizer, "Short.", uncut)
    with pytest.raises(ContractError, match="long_prompts: trained with cut, now refuse"):
        prompt_contract.require_equal(contract, contract_of(tokenizer, kind, 60, {"summarise": 12}))  # type: ignore[arg-type]


def test_a_text_that_spells_an_unknown_token_is_encoded_also_where_no_bracket_is_known() -> None:
    tokenizer = t5_tokenizer()
    tokenizer.chat_control_tokens = ["<pad>", "</s>", "<unk>"]
    contract = contract_of(tokenizer, "seq2seq", 400, {"summarise": 12})
    assert "unk" in tokenizer.decode(encode_example(tokenizer, "a", "before <unk> after", contract).response)


def test_a_contract_that_differs_in_anything_is_refused_with_the_difference() -> None:
    tokenizer = toys.tokenizer("causal")
    trained = contract_of(tokenizer, "causal", 400, {"summarise": 12})
    prompt_contract.require_equal(trained, contract_of(tokenizer, "causal", 400, {"summarise": 12}))
    template = tokenizer.chat_template
    try:
        tokenizer.chat_template = template.replace("assistant\n", "assistant\n ")  # one space
        with pytest.raises(
            ContractError, match=r"chat_template_sha256: trained with .*; golden_ids: token \d+ of a fixed text was"
        ):
            prompt_contract.require_equal(trained, contract_of(tokenizer, "causal", 400, {"summarise": 12}))
    finally:
        tokenizer.chat_template = template
    with pytest.raises(ContractError, match=r"max_new_tokens: summarise trained with 12, now 13"):
        prompt_contract.require_equal(trained, contract_of(tokenizer, "causal", 400, {"summarise": 13}))


PARAMS = {
    "predict": {
        "seed": 1, "threads": 1, "batch_size": 3, "tokens_at_once": 200,
        "suites": [
            {"suite": "mmlu", "benchmark": "quiz", "by": "letter", "shots": 2, "shots_from": "drill", "questions": 4},
            {"suite": "piqa", "benchmark": "quiz", "by": "text", "shots": 0, "shots_from": None, "questions": 3},
        ],
        "perturbed": {"kinds": ["lower_case", "typos"], "examples": 3},
        "repeated": 2,
    }
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_both_models_answer_the_same_questions_in_the_same_order(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(json.dumps(PARAMS))
    base, tuned = toys.write_base(tmp_path / "base", kind), toys.write_base(tmp_path / "tuned", kind)
    tokenizer = toys.tokenizer(kind)
    prompt_contract.write(contract_of(tokenizer, kind, 400, {"summarise": 8}), tuned)  # type: ignore[arg-type]
    text = next(one.text for one in load_family("summarise").templates if one.id == "gist")
    examples = [row | {"input": render(text, {"document": row["input"]})} for row in toys.examples(5)]
    write_rows(tmp_path / "test.jsonl", examples)
    quiz = [
        {"question": f"Is {n} even?", "options": "A. yes\nB. no", "answer": "A. yes" if n % 2 == 0 else "B. no"}
        for n in range(9)
    ]
    write_rows(tmp_path / "benchmarks/quiz/quiz.jsonl", quiz)
    write_rows(tmp_path / "benchmarks/drill/quiz.jsonl", quiz[5:])
    write_json(
        tmp_path / "benchmarks/manifest.json",
        {"sources": {name: {"files": ["quiz.jsonl"], "url": name, "sha256": "0"} for name in ("quiz", "drill")}},
    )
    predict.main(
        base,
        tuned,
        tmp_path / "test.jsonl",
        tmp_path / "benchmarks",
        tmp_path / "predictions",
        tmp_path / "efficiency.json",
    )
    for name in ("perturbed", "repeated", "repeated_choices", "generations", "choices"):
        before, after = (read_rows(tmp_path / f"predictions/{model}/{name}.jsonl") for model in ("base", "tuned"))
        assert before == after  # the same weights here
    assert [row["id"] for row in read_rows(tmp_path / "predictions/base/generations.jsonl")] == [
        row["id"] for row in toys.examples(5)
    ]
    assert [(row["shots"], row["n_choices"]) for row in before] == [(2, 2)] * 4 + [(0, 2)] * 3
    made = read_predictions(tmp_path / "predictions")  # what evaluate wants of them
    assert [row["perturbation"] for row in made.tuned.perturbed] == ["lower_case"] * 3 + ["typos"] * 3
    assert [row["repeat"] for row in made.tuned.repeated] == ["again"] * 2 + ["other batch size"] * 2
    assert [row["output"] for row in made.tuned.repeated[:2]] == [row["output"] for row in made.tuned.repeated[2:]]
    assert {suite["suite"]: suite["asked"] for suite in made.how["suites"]} == {"mmlu": 4, "piqa": 3}
    assert read_json(tmp_path / "efficiency.json")["tuned"]["answers"] == 5 + 6 + 4


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"shots": 2, "shots_from": None}, "another benchmark"),
        ({"shots": 0, "shots_from": "drill"}, "another benchmark"),
        ({"shots": 2, "shots_from": "quiz"}, "another benchmark"),
        ({"suite": "mlu"}, "Did you mean 'mmlu'"),
        ({"suite": "boolq", "by": "letter"}, "is not asked by letter, only by text"),
        ({"suite": "crows_pairs", "by": "text", "shots": 1, "shots_from": "drill"}, "at most 0 shots"),
    ],
)
def test_a_suite_that_cannot_be_asked_so_is_refused(values: dict[str, object], said: str) -> None:
    entry = {"suite": "mmlu", "benchmark": "quiz", "by": "letter", "questions": 3, "shots": 0, "shots_from": None}
    with pytest.raises(ValueError, match=said):
        General.model_validate(entry | values)
