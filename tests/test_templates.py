"""Templates are data: the library's wordings keep its laws, and a file that is more than wording is refused at load."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import ParamsError
from tasks.prompts.templates import CONTROL_TOKEN, LIBRARY, Family, load_family, parse, render

FAMILIES = sorted(path.stem for path in LIBRARY.glob("*.yaml"))
SECRET = "kept-in-the-environment-b24"  # noqa: S105  # planted: no message may show it
HELD_OUT = 2


@pytest.fixture(autouse=True)
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_KEY", SECRET)


def values_of(family: Family) -> dict[str, str]:
    """A text for each field and the target that stands in no wording."""
    return {field: f"<<{field} text>>" for field in [*family.fields, family.target]}


def words(text: str) -> list[str]:
    return re.findall(r"\w+", re.sub(r"\{\w+\}", "", text).casefold())


# The library


def test_the_library_has_a_family_for_every_kind_of_task() -> None:
    assert FAMILIES == [
        "answer", "choose", "classify", "continue_dialogue", "key_facts", "note", "record_to_text", "rewrite",
        "section", "summarise", "summarise_dialogue", "text_to_record", "title", "write_from_summary",
        "write_from_title",
    ]  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_has_eight_wordings_to_train_on_and_two_to_hold_out(name: str) -> None:
    assert len(load_family(name).templates) - HELD_OUT >= 8


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_says_where_it_comes_from_and_what_it_teaches(name: str) -> None:
    family = load_family(name)
    assert family.origin
    assert family.version >= 1
    assert family.task.count(".") == 1, "one sentence"
    assert family.task.endswith(".")
    assert "; wants " in family.task


@pytest.mark.parametrize("name", FAMILIES)
def test_every_template_shows_all_fields_once_no_brace_and_never_its_target(name: str) -> None:
    family = load_family(name)
    values = values_of(family)
    for template in family.templates:
        text = render(template.text, values)
        assert all(text.count(values[field]) == 1 for field in family.fields), template.id
        assert values[family.target] not in text, template.id
        assert "{" not in text and "}" not in text, template.id


@pytest.mark.parametrize("name", FAMILIES)
def test_no_two_wordings_of_a_family_are_alike_but_for_a_few_words(name: str) -> None:
    templates = load_family(name).templates
    for place, one in enumerate(templates):
        for other in templates[:place]:
            ours, theirs = Counter(words(one.text)), Counter(words(other.text))
            assert (ours & theirs).total() / (ours | theirs).total() < 0.5, f"{one.id}, {other.id}"


@pytest.mark.parametrize("name", FAMILIES)
def test_the_text_stands_before_some_wordings_and_behind_others(name: str) -> None:
    family = load_family(name)
    assert {template.text.startswith("{") for template in family.templates} == {True, False}
    assert {template.text.endswith("}") for template in family.templates} == {True, False}


def test_no_wording_stands_in_two_families() -> None:
    said = [" ".join(words(template.text)) for name in FAMILIES for template in load_family(name).templates]
    assert Counter(text for text in said if len(text.split()) > 3).most_common(1)[0][1] == 1
    texts = [template.text for name in FAMILIES for template in load_family(name).templates]
    assert len(set(texts)) == len(texts)


def test_the_library_is_british_and_plain_ascii() -> None:
    american = r"\b\w+iz(?:e|es|ed|ing|ation)\b|\b(?:color|favor|center|catalog|gray|program|labor|judgment)\b"
    for name in FAMILIES:
        text = (LIBRARY / f"{name}.yaml").read_text()
        assert text.isascii(), name
        assert not re.search(american, text, re.IGNORECASE), name


def test_what_runs_the_other_way_is_declared() -> None:
    declared = {name: load_family(name).inverse_of for name in FAMILIES}
    assert {name: inverse for name, inverse in declared.items() if inverse} == {
        "text_to_record": "record_to_text",
        "write_from_summary": "summarise",
        "write_from_title": "title",
    }


# Rendering


def test_what_a_record_holds_is_put_in_once_and_its_braces_stay() -> None:
    assert render("{a} {b}", {"a": "{b}", "b": "{a} {{7*7}}"}) == "{b} {a} {{7*7}}"
    assert render("{a}{a}", {"a": "{a}"}) == "{a}{a}"


def test_white_space_around_a_value_goes_and_what_is_inside_stays() -> None:
    assert render("Say:\n{text}\nEnd", {"text": " \n two  spaces\n\n"}) == "Say:\ntwo  spaces\nEnd"


def test_a_template_is_divided_into_its_words_and_its_fields() -> None:
    assert parse("Say: {text}, {kind}!") == [("Say: ", "text"), (", ", "kind"), ("!", None)]
    assert parse("{text}") == [("", "text")]
    assert parse("none") == [("none", None)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("{}ab_.[]!:%#1 \n", max_size=30), st.text("{}ab"))
def test_any_text_is_refused_or_is_words_and_bare_fields_that_values_are_put_into_once(text: str, value: str) -> None:
    try:
        parts = parse(text)
    except ParamsError:
        return
    assert "".join(literal + (f"{{{field}}}" if field else "") for literal, field in parts) == text
    assert not {"{", "}"} & set("".join(literal for literal, _ in parts))
    fields = [field for _, field in parts if field]
    assert render(text, dict.fromkeys(fields, value)).count(value) >= len(fields)


# What is refused


def write(text: str = "Say: {text}", name: str = "mine", **changes: Any) -> None:
    """A family's file in the working directory."""
    whole = {
        "family": name,
        "version": 1,
        "origin": "this test",
        "task": "Say it.",
        "inverse_of": None,
        "fields": ["text"],
        "target": "answer",
        "templates": [{"id": "a", "text": text}],
    }
    Path(f"{name}.yaml").write_text(yaml.safe_dump({**whole, **changes}, allow_unicode=True), encoding="utf-8")


def refusal(name: str = "mine") -> str:
    with pytest.raises(ParamsError) as error:
        load_family(name, Path())
    said = str(error.value)
    assert SECRET not in said
    assert "\n" not in said
    assert len(said) < 500
    return said


ATTACKS = [
    "{text.__class__}",
    "{text.__init__.__globals__[os].environ[API_KEY]}",
    "{row.__init__.__globals__[os].environ[API_KEY]}",
    "{text[0]}",
    "{text[API_KEY]}",
    "{0}",
    "{}",
    "{0.__class__}",
    "{text!r}",
    "{text!s}",
    "{text:>10}",
    "{text:999999999}",
    "{text:{text}}",
    "{text:}",
    "{ text }",
    "{text\n}",
    "{Text}",
    "{text1}",
    "{te-xt}",
    "{text",
    "text}",
    "{text}}",
    "{{text}",
    "{{text}}",
    "{{x}} {text}",
    "{{ text }}",
    "{{7*7}} {text}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }} {text}",
    "{{ cycler.__init__.__globals__.os.environ['API_KEY'] }} {text}",
    "{% for x in (1, 2) %}{text}{% endfor %}",
    "{%- include '/etc/hosts' -%} {text}",
    "{# hidden #}{text}",
    "{{ '{' }} {text}",
    "{\u200btext}",
]


@pytest.mark.parametrize("text", ATTACKS)
def test_a_template_that_does_more_than_insert_its_fields_is_refused_at_load(text: str) -> None:
    write(text)
    said = refusal()
    assert said.startswith("mine.yaml, template 'a': ")
    assert "is not allowed; only a bare field name may stand in braces" in said


@pytest.mark.parametrize("text", ATTACKS)
def test_an_attack_that_is_rendered_without_being_loaded_is_refused_as_well(text: str) -> None:
    with pytest.raises(ParamsError) as error:
        render(text, {"text": "harmless"})
    assert SECRET not in str(error.value)


def test_what_was_not_allowed_is_shown() -> None:
    write("Say {text!r}, please")
    assert "template 'a': '{text!r}' is not allowed" in refusal()


def test_many_braces_are_refused_quickly() -> None:
    with pytest.raises(ParamsError):
        parse("{{" * 40_000)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no field", "template 'a' does not name ['text']; it must name ['text']."),
        ("{text} {answer}", "template 'a' names 'answer'; it may name ['text']."),
        ("{txet}", "template 'a' names 'txet'; it may name ['text']. Did you mean 'text'?"),
        ("{text} {documnet}", "template 'a' names 'documnet'; it may name ['text']."),
        (" {text}", "template 'a' begins or ends with white space"),
        ("{text}\n", "template 'a' begins or ends with white space"),
        ("{text}\u00a0", "template 'a' begins or ends with white space"),
        ("{text}" + "x" * 594, "template 'a' has 600 characters; it must have fewer than 600."),
        ("a\tb {text}", "template 'a' holds the invisible character U+0009"),
        ("a\rb {text}", "template 'a' holds the invisible character U+000D"),
        ("\x1b[2J{text}", "template 'a' holds the invisible character U+001B"),
        ("a\u202eb {text}", "template 'a' holds the invisible character U+202E"),
        ("a\u200bb {text}", "template 'a' holds the invisible character U+200B"),
        ("<|im_start|>user {text}", "template 'a' holds '<|im_start|>', a control token of some models"),
        ("<|{text}|>", "template 'a' holds '<|{text}|>', a control token"),
        ("{text}</s>", "template 'a' holds '</s>', a control token"),
        ("[INST] {text} [/INST]", "template 'a' holds '[INST]', a control token"),
        ("<<SYS>> {text}", "template 'a' holds '<<SYS>>', a control token"),
        ("{text} <end_of_turn>", "template 'a' holds '<end_of_turn>', a control token"),
    ],
)
def test_a_careless_wording_is_refused_with_its_name(text: str, said: str) -> None:
    write(text)
    assert f"mine.yaml, {said}" in refusal()


@pytest.mark.parametrize(
    "text",
    [
        "{text} \uff5bnothing\uff5d",  # full-width braces mean nothing to anyone
        "Réponds : {text}",
        "Is {text} < 3, or > 2? [sic] <article> a|b",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 {text}",  # a joiner is Persian spelling
        "$(env) `env` ${text} %(text)s",
    ],
)
def test_what_only_looks_like_code_is_words(text: str) -> None:
    write(text)
    assert render(load_family("mine", Path()).templates[0].text, {"text": "T"}) == text.replace("{text}", "T")


def two(one: str, other: str, ids: str = "ab") -> list[dict[str, str]]:
    return [{"id": name, "text": text} for name, text in zip(ids, (one, other), strict=True)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fields": ["text", "answer"]}, "mine.yaml: its target 'answer' is among its fields"),
        ({"fields": ["text", "text"]}, "mine.yaml: two fields are called 'text'"),
        ({"fields": []}, "mine.yaml: 'fields' is not as it must be"),
        ({"fields": "text"}, "mine.yaml: 'fields' is not as it must be"),
        ({"fields": ["Text"]}, "mine.yaml: 'fields.0' is not as it must be"),
        ({"fields": ["te xt"]}, "mine.yaml: 'fields.0' is not as it must be"),
        ({"templates": two("1 {text}", "2 {text}", "aa")}, "mine.yaml: two templates are called 'a'"),
        ({"templates": two("Say {text}", "say\n\n{text}")}, "mine.yaml: the templates 'a' and 'b' say the same"),
        ({"templates": []}, "mine.yaml: 'templates' is not as it must be"),
        ({"templates": ["{text}"]}, "mine.yaml, template 1: 'all of it' is not as it must be"),
        ({"templates": [{"id": "a"}]}, "mine.yaml, template 1: 'text' is missing; needed here: id, text."),
        ({"templates": [{"id": "a b", "text": "{text}"}]}, "mine.yaml, template 1: 'id' is not as it must be"),
        (
            {"templates": [{"id": "a", "text": "{text}", "txt": "x"}]},
            "mine.yaml, template 1: 'txt' is not a key; known here: id, text. Did you mean 'text'?",
        ),
        ({"code": "import os"}, "mine.yaml: 'code' is not a key; known here: family, version, origin, task,"),
        ({"orign": "me"}, "Did you mean 'origin'?"),
        ({"version": "1"}, "mine.yaml: 'version' is not as it must be"),
        ({"version": True}, "mine.yaml: 'version' is not as it must be"),
        ({"version": 0}, "mine.yaml: 'version' is not as it must be"),
        ({"origin": ""}, "mine.yaml: 'origin' is not as it must be"),
        ({"task": None}, "mine.yaml: 'task' is not as it must be"),
        ({"family": "yours"}, "mine.yaml says that its family is 'yours'"),
        ({"inverse_of": "theirs"}, "mine.yaml: inverse_of names 'theirs'; known: mine."),
        ({"inverse_of": "mine"}, "inverse_of names 'mine', which does not make answer out of answer."),
    ],
)
def test_a_family_that_would_mislead_is_refused_in_one_sentence(changes: dict[str, Any], said: str) -> None:
    write(**changes)
    assert said in refusal()


def test_an_inverse_has_the_other_family_s_target_as_input_and_the_other_way_round() -> None:
    write()
    write("{answer}", "back", fields=["answer"], target="text", inverse_of="mine")
    assert load_family("back", Path()).inverse_of == "mine"
    write("{answer}", "back", fields=["answer"], target="reply", inverse_of="mine")
    assert "inverse_of names 'mine', which does not make answer out of reply" in refusal("back")


# Files


GOOD = "family: mine\nversion: 1\norigin: o\ntask: t\nfields: [text]\ntarget: answer\ntemplates:\n"


def bombs() -> Iterator[tuple[str, str]]:
    yield "family: [", "cannot be read"
    yield "- a list", "'all of it' is not as it must be"
    yield "", "'all of it' is not as it must be"
    yield "family: !!python/object/apply:os.system ['true']", "line 1 has an anchor, alias or tag"
    yield "family: !!python/name:os.environ", "line 1 has an anchor, alias or tag"
    yield "family: !include secrets.yaml", "line 1 has an anchor, alias or tag"
    yield GOOD + "  - &one {id: a, text: '{text}'}\n", "line 8 has an anchor, alias or tag"
    yield "a: &a [x, x]\nb: [*a, *a]\n", "line 1 has an anchor, alias or tag"
    yield GOOD + "  - {id: a, text: 'Say {text}', text: '{text}'}\n", "line 8 begins an entry that has 'text' twice"
    yield GOOD + "  - {id: a, text: '{text}'}\ntarget: text\n", "line 1 begins an entry that has 'target' twice"
    yield "[" * 5_000, "cannot be read"
    yield "family: mine\n---\nfamily: yours\n", "cannot be read"
    yield "family: \x00", "cannot be read"
    yield "version: " + "9" * 10_000, "cannot be read"
    yield "version: 2026-13-45", "cannot be read"
    yield "? [a, b]\n: c\n", "cannot be read"
    yield "#" * 100_001, "mine.yaml is larger than 100,000 bytes"


@pytest.mark.parametrize(("text", "said"), list(bombs()), ids=lambda text: text[:30])
def test_a_file_that_is_more_or_less_than_plain_yaml_is_one_sentence(text: str, said: str) -> None:
    Path("mine.yaml").write_text(text)
    found = refusal()
    assert found.startswith("mine.yaml")
    assert said in found


def test_bytes_that_are_no_text_are_one_sentence() -> None:
    Path("mine.yaml").write_bytes(GOOD.encode() + b"  - {id: a, text: '\xff {text}'}\n")
    assert refusal().startswith("mine.yaml cannot be read: ")


def test_the_good_file_that_these_were_made_from_loads() -> None:
    Path("mine.yaml").write_text(GOOD + "  - {id: a, text: '{text}'}\n")
    assert load_family("mine", Path()).inverse_of is None


def test_a_link_out_of_the_library_is_refused_and_what_it_leads_to_is_not_shown() -> None:
    Path("elsewhere").mkdir()
    Path("elsewhere/secret.txt").write_text(SECRET)
    Path("library").mkdir()
    Path("library/mine.yaml").symlink_to("../elsewhere/secret.txt")
    with pytest.raises(ParamsError, match=r"^mine\.yaml is no file of the template library itself") as error:
        load_family("mine", Path("library"))
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("name", ["../mine", "/etc/hosts", "sub/mine", "", ".", "*", "Mine"])
def test_a_name_cannot_lead_out_of_the_library(name: str) -> None:
    Path("library").mkdir()
    write()
    with pytest.raises(ParamsError, match="is no template family; known: "):
        load_family(name, Path("library"))


def test_an_unknown_family_is_told_the_near_one() -> None:
    with pytest.raises(ParamsError) as error:
        load_family("summarize")
    assert f"'summarize' is no template family; known: {', '.join(FAMILIES)}. Did you mean 'summarise'?" in str(
        error.value
    )


def test_a_folder_in_place_of_a_family_is_refused() -> None:
    Path("mine.yaml").mkdir()
    assert refusal().startswith("mine.yaml is no file of the template library itself")


@pytest.mark.parametrize(
    "token", ["<|im_end|>", "<s>", "<pad>", "<extra_id_7>", "<\uff5cUser\uff5c>", "[/INST]", "[MASK]"]
)
def test_control_tokens_of_the_usual_models_are_known(token: str) -> None:
    found = CONTROL_TOKEN.search(f"a {token} b")
    assert found
    assert found[0] == token
