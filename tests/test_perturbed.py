"""Perturbed examples: the record's content changes as said, the instruction's wording and the options never do."""

import re
from pathlib import Path
from random import Random

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.bias.lexicon import load_lexicon
from tasks.data.files import Row, read_rows
from tasks.errors import ParamsError
from tasks.prompts.perturbed import KINDS, SWAPS, changeable, perturb, perturbed, values_of
from tasks.prompts.respelt import LISTS, dialect, lower_case, typos
from tasks.prompts.swapped import gender_swap, name_swap
from tasks.prompts.templates import LIBRARY, load_family, render

ROOT = Path(__file__).resolve().parent.parent
SEED = 17
SAID = "When she came home, John told the others about running a marathon with his mother and Emily."


def numbers(seed: int = SEED) -> Random:
    return Random(seed)


def examples(family: str, records: list[dict[str, str]], source: str = "toy") -> list[Row]:
    """Rows as expand writes them, each template in turn."""
    kind = load_family(family)
    return [
        {
            "id": f"{family}/{source}:{place}", "family": family, "template": template.id, "wording": "seen",
            "group": str(place), "source": source, "record": f"{source}:{place}",
            "input": render(template.text, record), "target": record[kind.target],
        }
        for place, record in enumerate(records)
        for template in [kind.templates[place % len(kind.templates)]]
    ]  # fmt: skip


def articles(count: int = 10) -> list[Row]:
    said = {"document": SAID, "summary": "She told him about his marathon."}
    return examples("summarise", [{**said, "document": f"{SAID} Number {place}."} for place in range(count)])


def questions(count: int = 10) -> list[Row]:
    options = "A. with something sharp\nB. together with others\nC. mother and father\nD. because of that\nE. nothing"
    return examples(
        "choose",
        [
            {"question": f"What would the others do with number {place}?", "options": options.replace("E.", f"E. {place}"),
             "answer": "B. together with others"}
            for place in range(count)
        ],
    )  # fmt: skip


# Which text is changed


@pytest.mark.parametrize("name", sorted(path.stem for path in LIBRARY.glob("*.yaml")))
def test_the_values_of_a_rendered_input_are_found_again_by_every_template(name: str) -> None:
    family = load_family(name)
    values = {field: f"the {field}: what is in\nit (all of it) {{x}} \\1 $" for field in family.fields}
    for template in family.templates:
        row = {"family": name, "template": template.id, "input": render(template.text, values)}
        assert values_of(row) == values or name == "choose"  # where a question's second line counts as an option


@given(st.text(st.characters(blacklist_characters="\n"), min_size=1), st.text(min_size=1))
def test_what_was_taken_apart_renders_to_the_same_input(question: str, options: str) -> None:
    for template in load_family("choose").templates:
        text = render(template.text, {"question": question, "options": options})
        values = values_of({"family": "choose", "template": template.id, "input": text})
        assert values is not None
        assert render(template.text, values) == text


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_input_changes_and_in_it_only_the_record_s_content(kind: str) -> None:
    rows = articles()
    new = perturb(rows, kind, SEED)
    assert new, "nothing changed"
    before = {row["id"]: row for row in rows}
    for row in new:
        old = before[row["id"]]
        assert row["perturbation"] == kind
        assert {key for key in old if row[key] != old[key]} <= {"input"} | ({"target"} if kind in SWAPS else set())
        values = values_of(row)
        assert values is not None, "the instruction's wording changed"
        assert values != values_of(old)


@pytest.mark.parametrize("kind", KINDS)
def test_the_options_of_a_question_are_never_changed(kind: str) -> None:
    rows = questions()
    for old, row in [(old, row) for row in perturb(rows, kind, SEED) for old in rows if old["id"] == row["id"]]:
        ours, theirs = values_of(row), values_of(old)
        assert ours and theirs
        assert ours["options"] == theirs["options"]
        assert row["target"] == old["target"]


@pytest.mark.parametrize(
    ("values", "targets", "running", "chosen"),
    [
        ([{"document": "one"}], ["two"], {"document"}, False),
        ([{"text": f"It was a good day {n}", "labels": "a, b"} for n in range(9)], ["a"] * 9, {"text"}, True),
        ([{"text": f"It was a good day {n}", "labels": "new, old"} for n in range(9)], ["a"] * 9, {"text"}, False),
        ([{"text": f"It was a good day {n}", "register": "plain" if n % 2 else "formal"} for n in range(9)], ["a"] * 9, {"text"}, False),
        ([{"text": f"It was a good day {n}", "columns": f"name, age, size {n}"} for n in range(9)], ["a: 1"] * 9, {"text"}, False),
        ([{"question": f"What is number {n} for?", "options": f"A. to eat it raw\nB. to go there {n}"} for n in range(9)], ["B"] * 9, {"question"}, True),
        ([{"question": f"What is number {n} for?", "context": f"Number {n} is for eating, as all know."} for n in range(9)], ["eating"] * 9, {"question", "context"}, False),
    ],
)  # fmt: skip
def test_fields_of_running_text_are_told_from_constants_lists_and_options(
    values: list[dict[str, str]], targets: list[str], running: set[str], chosen: bool
) -> None:
    assert changeable(values, targets) == (running, chosen)


def test_an_example_that_its_template_does_not_give_is_left_out_and_counted() -> None:
    rows = articles(3)
    rows[0]["input"] = "Something else."
    rows[1]["template"] = "gone"
    found = perturbed(rows, "lower_case", SEED)
    assert [row["id"] for row in found.rows] == [rows[2]["id"]]
    assert (found.unchanged, found.unread) == (0, 2)


def test_an_example_with_nothing_to_change_is_left_out_and_counted() -> None:
    rows = examples("summarise", [{"document": "all low", "summary": "x"}, {"document": "High", "summary": "y"}])
    found = perturbed(rows, "lower_case", SEED)
    assert [row["target"] for row in found.rows] == ["y"]
    assert (found.unchanged, found.unread) == (1, 0)


def test_a_swap_that_would_part_question_and_options_is_left_out() -> None:
    rows = questions()
    for place, row in enumerate(rows):
        row["input"] = row["input"].replace("the others", "his sister" if place < 5 else "the brother")
        row["input"] = row["input"] if place % 2 else row["input"].replace("C. mother and father", "C. nobody")
    assert {row["id"] for row in perturb(rows, "gender_swap", SEED)} == {rows[place]["id"] for place in range(0, 10, 2)}


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(
        ParamsError, match=r"'typo' is no perturbation\. Did you mean 'typos'\? Known: typos, lower_case"
    ):
        perturb([], "typo", SEED)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_rows_whatever_else_is_there(kind: str) -> None:
    rows = articles()
    first = perturb(rows, kind, SEED)
    assert perturb(rows, kind, SEED) == first
    assert perturb(rows[5:], kind, SEED) == [row for row in first if row["id"] in {r["id"] for r in rows[5:]}]
    assert kind not in {"typos", "dialect"} or perturb(rows, kind, SEED + 1) != first


def test_the_default_examples_are_all_read_and_most_are_changed() -> None:
    path = ROOT / "data/examples/test.jsonl"
    if not path.exists():
        pytest.skip("`make demo` writes the examples")
    rows = list(read_rows(path))
    found = {kind: perturbed(rows, kind, SEED) for kind in KINDS}
    assert all(one.unread == 0 for one in found.values())
    assert len(found["lower_case"].rows) == len(rows)
    assert len(found["typos"].rows) > 0.7 * len(rows)


# Typing errors, lower case, dialect


@given(st.text("abcDEF hijlmnop 123 \n.,'-_é", max_size=200), st.integers())
def test_a_slip_never_touches_numbers_spaces_short_words_or_first_letters(text: str, seed: int) -> None:
    new = typos(text, numbers(seed))
    before, after = (re.findall(r"[^\W\d_]+|[\W\d_]+", one) for one in (text, new))
    assert len(before) == len(after)
    for one, other in zip(before, after, strict=True):
        assert one == other or (len(one) >= 4 and one[0] == other[0] and abs(len(one) - len(other)) <= 1)


@pytest.mark.parametrize("text", ["covid19 b2bx 100mg 2016-03", "Patient: no\n Doctor: ok", "a an the of"])
def test_words_with_digits_speakers_and_short_words_have_no_slips(text: str) -> None:
    assert all(typos(text, numbers(seed)) == text for seed in range(50))


def test_about_every_tenth_long_word_has_a_slip() -> None:
    words = ["window"] * 5000
    new = typos(" ".join(words), numbers()).split()
    assert 0.08 < sum(one != other for one, other in zip(words, new, strict=True)) / len(words) < 0.12
    assert {"widnow", "winow", "windoow"} < set(new), "swapped, dropped, doubled"
    assert any(len(word) == 6 and sorted(word) != sorted("window") for word in new), "a neighbour on the keyboard"


def test_capitals_stay_where_they_were() -> None:
    assert all(typos("WINDOW", numbers(seed)).isupper() for seed in range(100))


def test_lower_case_is_lower_case() -> None:
    assert lower_case("The BBC's É", numbers()) == "the bbc's é"


@pytest.mark.parametrize(
    ("text", "can_be"),
    [
        ("Going home", {"Going home"}),  # a word with a capital may be a name
        ("running", {"running", "runnin'"}),
        ("king spring thing bring", {"king spring thing bring"}),
        ("The end", {"The end", "Da end"}),
        ("He isn't here", {"He isn't here", "He ain't here"}),
        ("He isn\u2019t here", {"He isn\u2019t here", "He ain't here"}),
        ("the father, the mother", None),
        ("Father: hello", {"Father: hello"}),
    ],
)
def test_dialect_respells_what_its_list_knows(text: str, can_be: set[str] | None) -> None:
    seen = {dialect(text, numbers(seed)) for seed in range(60)}
    assert can_be is None or seen == can_be


def test_a_word_is_respelt_everywhere_in_a_text_or_nowhere() -> None:
    for seed in range(30):
        assert len(set(dialect("the " * 20, numbers(seed)).split())) == 1


# Somebody else


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("He gave her the book.", "She gave him the book."),
        ("Her book is hers; she saw her.", "His book is his; he saw him."),
        ("His book is his.", "Her book is hers."),
        ("I work with her in town, and her friend knows him.", "I work with him in town, and his friend knows her."),
        ("HE said: it's Her's.", "SHE said: it's Him's."),
        ("He's himself. Hers was red.", "She's herself. His was red."),
        ("The ex-wife of a policeman, two businesswomen", "The ex-husband of a policewoman, two businessmen"),
        ("Mr Smith and Mrs Jones met Ms Brown.", "Ms Smith and Mr Jones met Mr Brown."),
        ("Yes, sir. Sir Alex. My lady! Lady Ann", "Yes, ma'am. Dame Alex. My gentleman! Lord Antonio"),
        ("there, theme, sheet, Manchester, heroine", "there, theme, sheet, Manchester, heroine"),
        ("Mary and Mary's sister Anna", None),
        ("Elton John sang, Craig David, too.", "Elton John sang, Craig David, too."),  # surnames
        ("Jean-Paul left", "Jean-Paul left"),
        ("mary, MARY", "mary, MARY"),  # names as written only
        ("She is pregnant.", "She is pregnant."),
        ("His prostate hurts.", "His prostate hurts."),
        ("Nobody.", "Nobody."),
        ("", ""),
    ],
)  # fmt: skip
def test_words_become_those_of_the_other_gender(text: str, swapped: str | None) -> None:
    new = gender_swap(text, numbers())
    assert new == swapped or (swapped is None and new != text)


SUBJECTS, OBJECTS = st.sampled_from(["she", "he"]), st.sampled_from(["her", "him"])
CLAUSES = st.one_of(
    st.builds("{} saw {} yesterday".format, SUBJECTS, OBJECTS),
    st.builds("{} lost {} keys".format, SUBJECTS, st.sampled_from(["her", "his"])),
    st.builds("the car is {}".format, st.sampled_from(["hers", "his"])),
    st.builds("{} hurt {}".format, SUBJECTS, st.sampled_from(["herself", "himself"])),
    st.builds("we told {} that".format, OBJECTS),
)


@given(st.lists(CLAUSES, min_size=1))
def test_swapped_twice_everybody_has_their_pronouns_back(clauses: list[str]) -> None:
    text = ". ".join(clauses) + "."
    once = gender_swap(text, numbers())
    assert once != text
    assert gender_swap(once, numbers()) == text


@given(st.text())
def test_any_text_can_be_swapped_and_no_other_characters_go(text: str) -> None:
    for swap in (gender_swap, name_swap, dialect):
        assert swap(text, numbers()).count("\n") == text.count("\n")


def test_every_word_that_is_swapped_tells_a_gender_in_the_lexicon_or_is_known_not_to() -> None:
    file = yaml.safe_load((LISTS / "gender.yaml").read_text())
    groups = {name: {word.lower() for word in terms.words} for name, terms in load_lexicon("gender").groups.items()}
    plain = {"actress", "actresses", "actor", "actors", "mums", "dads", "moms", "groom"}  # new, plurals, or often else
    for female, male in file["pairs"]:
        assert female in groups["female"] | plain, female
        assert male in groups["male"] | plain, male
    words = [word for pair in file["pairs"] for word in pair]
    assert len(set(words)) == len(words)


def test_a_name_becomes_the_same_name_in_input_and_target_and_in_all_places() -> None:
    said = {"document": "Emily met Greg. Emily's dog bit Greg Smith, and Greg cried.", "summary": "Emily has a dog."}
    (row,) = perturb(examples("summarise", [said]), "name_swap", SEED)
    assert "Emily" not in row["input"] + row["target"]
    name = row["target"].split()[0]
    assert row["input"].count(name) == 2
    given_names = yaml.safe_load((LISTS / "names.yaml").read_text())["to"]
    assert name in given_names["female"]
    assert sum(row["input"].count(other) for other in given_names["male"]) == 3


def test_two_people_do_not_get_one_name() -> None:
    for seed in range(50):
        assert (
            len(set(name_swap("Emily, Anne, Sarah, Jill and Jamal", numbers(seed)).replace(" and", ",").split(", ")))
            == 5
        )


def test_the_two_groups_of_names_share_none() -> None:
    file = yaml.safe_load((LISTS / "names.yaml").read_text())
    names = [name for side in ("from", "to") for gender in ("male", "female") for name in file[side][gender]]
    assert len(set(names)) == len(names)
