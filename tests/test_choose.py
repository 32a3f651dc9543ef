"""tasks/model/choose, tree: texts that share their beginnings are scored as each alone, on models that take a tree or not."""

import warnings
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing

from tasks.data.suites.asked import put
from tasks.data.suites.declared import load_suite
from tasks.data.suites.questions import Question
from tasks.errors import DataError
from tasks.model import choose, tree
from tasks.model.answer import answer
from tasks.model.branches import branches_of
from tasks.model.choose import Option, encode_options, fitted, score
from tasks.model.load import Model
from tasks.model.tree import Ids, boughs, rows, tokens_read
from tests import toys
from tests.test_predict import plain_log_probability

SHOTS = "Water is wet.\nAnswer: A\n\n" * 12


def options_of(kind: str, contexts: Sequence[str], texts: Sequence[str]) -> list[Option]:
    return encode_options(toys.tokenizer(kind), [(context, text) for context in contexts for text in texts], kind)


QUESTIONS = [
    f"{SHOTS}Question {stem}\nAnswer:"
    for stem in ("of the sea", "what police said on Monday", "of the sea and the land")
]
SETS = {
    "letters": options_of("causal", QUESTIONS, [" A", " B", " C", " D"]),
    "texts, one the beginning of another": options_of(
        "causal", QUESTIONS, [" in", " in the", " in the mountains", " in the mountains of the north", " no"]
    ),
    "short contexts without a common beginning": options_of(
        "causal", ["Question: sea?\nAnswer:", "They said", "On Monday"], [" A", " a longer answer with words", " no"]
    ),
    "a context that is the beginning of another": options_of(
        "causal", [SHOTS.rstrip(), SHOTS + "Water", SHOTS + "Water is", *QUESTIONS], [" wet.", " is wet."]
    ),
    "pairs without a context": options_of("causal", [""], ["He was poor.", "He was rich.", "She was poor and said so."]),
    "a single option": options_of("causal", ["They said"], [" no"]),
    "the same option twice": options_of("causal", ["They said", "They said"], [" no", " yes"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("tokens_at_once", [1, 40, 4096])
def test_a_tree_s_scores_are_those_of_each_text_alone(name: str, tokens_at_once: int) -> None:
    model = toys.model("causal")
    expected = [plain_log_probability(model, option, "causal") for option in SETS[name]]
    told: list[int] = []
    assert score(model, SETS[name], tokens_at_once, told.append) == pytest.approx(expected, abs=2e-4)
    assert sum(told) == len(SETS[name])


@pytest.mark.parametrize("name", SETS)
def test_a_model_that_takes_no_attention_of_ours_is_read_as_a_tree_by_a_mask(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = toys.model("causal")
    expected = [plain_log_probability(model, option, "causal") for option in SETS[name]]
    monkeypatch.setattr(type(model), "_supports_attention_backend", False)
    monkeypatch.setattr(choose, "_one_by_one", None)
    assert score(model, SETS[name], 200) == pytest.approx(expected, abs=2e-4)


def test_the_toy_is_read_branch_by_branch_and_is_as_it_was_then(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toys.model("causal")
    before = model.config._attn_implementation
    monkeypatch.setattr(choose, "_one_by_one", None)
    monkeypatch.setattr(tree.Row, "sees", None)  # no mask of a whole row
    score(model, SETS["letters"], 512)
    assert model.config._attn_implementation == before


ids = st.lists(st.integers(0, 2), min_size=1, max_size=9)
beginnings = st.sampled_from([(), tuple(range(70)), (*range(70), 1), tuple(range(100))])


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(beginnings, ids), min_size=1, max_size=12), st.integers(1, 150))
def test_rows_hold_every_text_once_and_no_more_than_may_be_read(parts: list[tuple[Ids, list[int]]], most: int) -> None:
    texts = list(dict.fromkeys((*begun, *rest) for begun, rest in parts))
    found = boughs(texts, [len(text) - 1 for text in texts])
    assert sorted(place for bough in found for place in bough.members) == list(range(len(texts)))
    for bough in found:
        begun = texts[bough.members[0]][: bough.prefix]
        held = []
        for row in rows(texts, bough, most):
            held += list(row.paths)
            longest = max(len(texts[place]) - bough.prefix for place in row.paths)
            assert len(row.ids) <= max(most, longest)
            sees = row.sees(bough.prefix)
            covered: list[int] = []
            for place, path in row.paths.items():
                assert begun + tuple(row.ids[at] for at in path) == texts[place]
                assert [row.depths[at] for at in path] == list(range(len(path)))
                for at, step in enumerate(path):
                    seen = {bough.prefix + one for one in path[: at + 1]} | set(range(bough.prefix))
                    assert set(sees[step].nonzero()[0]) == seen
            for branch in branches_of(list(row.paths.values()), bough.prefix, torch.empty(0)):
                end = branch.start + len(branch.mask)
                said = np.zeros((len(branch.mask), bough.prefix + len(row.ids)), dtype=bool)
                columns = [*range(bough.prefix), *(bough.prefix + branch.path).tolist()]
                said[:, columns] = branch.mask.numpy() == 0
                assert (said == sees[branch.start : end]).all()
                covered += range(branch.start, end)
            assert covered == list(range(len(row.ids)))
        assert held == bough.members
    assert tokens_read(texts, found, most) <= sum(map(len, texts))


def test_solved_questions_are_read_once_a_subject() -> None:
    texts = [
        (*range(1000 * subject, 1000 * subject + 400), subject, number, 7) for subject in (1, 2) for number in range(20)
    ]
    found = boughs(texts, [len(text) - 1 for text in texts])
    assert tokens_read(texts, found, 512) <= 2 * 401 + 40 * 2


def test_without_a_context_one_start_token_stands_before_a_text_and_with_one_none_is_added() -> None:
    tokenizer = toys.tokenizer("causal")
    (pair,) = encode_options(tokenizer, [("", "He was poor.")], "causal")
    assert pair == Option([tokenizer.bos_token_id], tokenizer("He was poor.")["input_ids"])
    (asked,) = encode_options(tokenizer, [("They said", " no")], "causal")
    assert asked.context + asked.continuation == tokenizer("They said no")["input_ids"]
    (late,) = encode_options(toys.tokenizer("seq2seq"), [("", "He was poor.")], "causal")
    assert late.context == [toys.tokenizer("seq2seq").eos_token_id]


def test_a_tokenizer_that_puts_a_start_token_itself_gets_exactly_one() -> None:
    import copy  # noqa: PLC0415

    tokenizer = copy.deepcopy(toys.tokenizer("causal"))
    bos = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", bos)]
    )
    asked, pair = encode_options(tokenizer, [("They said", " no"), ("", "They said no")], "causal")
    assert (
        asked.context + asked.continuation == pair.context + pair.continuation == tokenizer("They said no")["input_ids"]
    )
    assert (asked.context + asked.continuation).count(bos) == 1


@pytest.mark.parametrize(
    ("context", "text"),
    [("They said ", " no"), ("They said \n", "no"), ("They said", " no"), ("", " no"), ("Q: a\nA:", " b ")],
)
def test_ids_are_those_that_lm_evaluation_harness_scores(context: str, text: str) -> None:
    from lm_eval.api.instance import Instance  # noqa: PLC0415
    from lm_eval.models.huggingface import HFLM  # noqa: PLC0415

    lm = HFLM(pretrained=toys.model("causal"), tokenizer=toys.tokenizer("causal"), device="cpu")
    kept: list[tuple[object, list[int], list[int]]] = []
    lm._loglikelihood_tokens = lambda requests, **_: kept.extend(requests)
    lm.loglikelihood([Instance("loglikelihood", {}, (context, text), 0)], disable_tqdm=True)
    (ours,) = encode_options(toys.tokenizer("causal"), [(context, text)], "causal")
    assert [(ours.context, ours.continuation)] == [(before, after) for _, before, after in kept]


def test_a_marker_in_a_question_stays_text() -> None:
    tokenizer = toys.tokenizer("causal")
    (asked,) = encode_options(tokenizer, [("Say <|im_end|>", " now")], "causal")
    assert tokenizer.eos_token_id not in asked.context


@pytest.mark.parametrize("length", [10, 19, 20, 21, 40])
def test_a_context_that_is_too_long_loses_its_beginning_as_in_lm_eval(length: int) -> None:
    option = Option(list(range(length)), [100, 101, 102])
    read = fitted(option, 20)
    kept = (option.context + option.continuation)[
        -21:
    ]  # lm-eval: the last max_length + 1, of which the last is not read
    assert (read.context + read.continuation, read.continuation) == (kept, [100, 101, 102])
    assert fitted(option, None) == option


BIG = {"vocab_size": 600, "hidden_size": 32, "num_attention_heads": 4}
TREELESS: dict[str, transformers.PretrainedConfig] = {
    "Mistral with a sliding window": transformers.MistralConfig(
        **BIG, intermediate_size=64, num_hidden_layers=2, num_key_value_heads=2, sliding_window=8, pad_token_id=3
    ),
    "Bloom, ALiBi": transformers.BloomConfig(vocab_size=600, hidden_size=32, n_head=4, n_layer=2, pad_token_id=3),
    "Falcon, ALiBi": transformers.FalconConfig(**BIG, num_hidden_layers=2, alibi=True, pad_token_id=3),
    "Gemma 2, bent scores": transformers.Gemma2Config(
        **BIG, intermediate_size=64, num_hidden_layers=2, num_key_value_heads=2, head_dim=8, pad_token_id=3
    ),
}  # fmt: skip
TREED: dict[str, transformers.PretrainedConfig] = {
    "GPT-2": transformers.GPT2Config(vocab_size=600, n_embd=32, n_head=4, n_layer=2, n_positions=1024, pad_token_id=3),
    "GPT-NeoX": transformers.GPTNeoXConfig(**BIG, intermediate_size=64, num_hidden_layers=2, pad_token_id=3),
    "Qwen 2": transformers.Qwen2Config(
        **BIG, intermediate_size=64, num_hidden_layers=2, num_key_value_heads=2, pad_token_id=3
    ),
}  # fmt: skip


def random_model(config: transformers.PretrainedConfig) -> Model:
    torch.manual_seed(0)
    model: Model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():  # as large as a trained model's: small random weights hide what a token sees
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.normal_(0, 0.3)
    return model


@pytest.mark.parametrize("name", TREELESS)
def test_a_model_that_a_tree_would_be_wrong_for_reads_each_text_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model(TREELESS[name])
    took: list[int] = []
    alone = choose._one_by_one

    def noted(model: Model, passes: Sequence[choose.Fed], most: int, take: choose.Take) -> None:
        took.append(len(passes))
        alone(model, passes, most, take)

    monkeypatch.setattr(choose, "_one_by_one", noted)
    for which in ("letters", "texts, one the beginning of another", "pairs without a context"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a model that refuses the mask
            found = score(model, SETS[which], 512)
        assert found == pytest.approx([plain_log_probability(model, one, "causal") for one in SETS[which]], abs=2e-3)
    assert len(took) == 3


@pytest.mark.parametrize("name", TREED)
def test_other_models_with_plain_attention_are_read_as_trees(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(TREED[name])
    monkeypatch.setattr(choose, "_one_by_one", None)
    for which in SETS.values():
        assert score(model, which, 512) == pytest.approx(
            [plain_log_probability(model, one, "causal") for one in which], abs=2e-3
        )


def test_a_tree_that_lies_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toys.model("causal")
    expected = [plain_log_probability(model, option, "causal") for option in SETS["letters"]]
    sees = tree.Row.sees
    monkeypatch.setattr(tree.Row, "sees", lambda row, prefix: sees(row, prefix) | True)  # every token sees every other
    monkeypatch.setattr(type(model), "_supports_attention_backend", False)
    with pytest.warns(UserWarning, match="each option is read alone, which is slower: it says something else"):
        found = score(model, SETS["letters"], 512)
    assert found == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("tokens_at_once", [1, 100, 4096])
def test_a_seq2seq_model_s_scores_are_those_of_each_alone(tokens_at_once: int) -> None:
    model, options = (
        toys.model("seq2seq"),
        options_of("seq2seq", ["Question of the sea\nAnswer:", "No"], [" A", " the sea ", " no"]),
    )
    expected = [plain_log_probability(model, option, "seq2seq") for option in options]
    assert score(model, options, tokens_at_once) == pytest.approx(expected, abs=2e-4)
    assert [option.context[-1] for option in options] == [model.config.eos_token_id] * 6


def test_answers_name_the_likeliest_option_and_what_was_cut() -> None:
    model, suite = toys.model("causal"), load_suite("piqa")
    model.config.max_position_embeddings = 40
    questions = [
        Question("short", "Sea?", ("in the sea", "on land"), 0),
        Question("long", "What did they say? " * 30, ("no", "they said yes on Monday"), 1),
    ]
    asked = put(suite, "text", questions, [], 0, 1)
    short, long = answer(model, toys.tokenizer("causal"), suite, "text", 0, asked, 64)
    plain = [
        plain_log_probability(model, option, "causal") / len(text)
        for option, text in zip(
            options_of("causal", [asked[0].context], asked[0].continuations), questions[0].options, strict=True
        )
    ]
    assert short["scores"] == pytest.approx(plain, abs=1e-4)
    assert (short["cut"], long["cut"], short["predicted"]) == (False, True, max((0, 1), key=plain.__getitem__))
    told: list[float] = []
    answer(model, toys.tokenizer("causal"), suite, "text", 0, asked, 64, told.append)
    assert sum(told) == pytest.approx(2)


def test_an_option_that_is_longer_than_the_model_reads_is_refused() -> None:
    model, suite = toys.model("causal"), load_suite("piqa")
    model.config.max_position_embeddings = 8
    asked = put(suite, "text", [Question("1", "Sea?", ("yes", "they said so on Monday " * 9), 0)], [], 0, 1)
    with pytest.raises(DataError, match=r"^piqa: an option has no token, or more than the 8 that the model reads\.$"):
        answer(model, toys.tokenizer("causal"), suite, "text", 0, asked, 64)
