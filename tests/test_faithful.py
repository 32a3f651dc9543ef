"""What an output made up is found; what it only said in other words is not."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.metrics.compare import mean
from tasks.metrics.faithful import facts, statistics, unsupported
from tasks.metrics.numerals import phrase_at, rounds_to
from tasks.metrics.texts import Texts
from tasks.metrics.tokens import tokens_of

ARTICLE = """Scott, 23, joined the Royals' academy aged eight and helped Kelly Chambers' side keep their place last term.
"I am delighted to have signed a new deal with my childhood club," Scott told BBC Berkshire on Tuesday.
The £1.2m stand at the Madejski Stadium will open on 4 July 2017, and 1,234 of its two hundred and fifty rows are sold.
Natural England and the World Health Organization backed the plan. Prime Minister Theresa May was in Wales, José said.
"""
DIALOGUE = """#Person1#: Good morning, Ms. Dawson. I need you to take a dictation for me.
#Person2#: Yes, sir. Will it go to Tom and the L. A. office before 4 pm? It costs $ 32. 50.
#Person1#: Yes, at half past ten on March 3rd. Any employee gets a warning, three in all, says Dr. Lee of IBM.
Doctor: He is twenty-one and has two sisters in New York."""


@pytest.mark.parametrize(
    ("output", "invented"),
    [
        ("Scott, 24, has signed a new deal.", ["24"]),
        ("Scott, 23, joined the academy aged nine.", ["nine"]),
        ("Harriet Scott has signed a new deal.", ["Harriet Scott"]),
        ("Jones has signed a new deal with her club.", ["Jones"]),
        ("Scott told BBC Berkshire on Friday.", ["Friday"]),
        ("The stand will open on 5 July 2017.", ["5 July 2017"]),
        ("The stand will open on July 4, 2018.", ["July 4, 2018"]),
        ("The stand will open in August.", ["August"]),
        ("The stand cost £1.3m.", ["1.3m"]),
        ("The stand cost £1.2bn.", ["1.2bn"]),
        ("About 1,300 rows are sold.", ["1,300"]),
        ("Her new deal lasts until 2018.", ["2018"]),
        ("The NHS backed the plan.", ["NHS"]),
        ("The Prime Minister was in Scotland.", ["Scotland"]),
        ("India's Ann Bo saw several hundred of England's fans.", ["India", "Ann Bo"]),
        ("Theresa May was in Wales with David Cameron.", ["David Cameron"]),
        ("The U.S. backed the plan, and so did Jean-Claude O'Neill.", ["U.S.", "Jean-Claude O'Neill"]),
        ("The plan of the Bank of England was backed on 2017-07-05.", ["Bank of England", "2017-07-05"]),
        ("It opens at 20:30 on Sunday, said Smith's brother.", ["20:30", "Sunday", "Smith"]),
        ("She has scored thirty goals in a dozen games, 90% of them in the Super League.", ["thirty", "dozen", "90", "Super League"]),
    ],
)  # fmt: skip
def test_an_invented_number_date_or_name_is_found(output: str, invented: list[str]) -> None:
    assert [fact.text for fact in unsupported(output, ARTICLE)] == invented


@pytest.mark.parametrize(
    "output",
    [
        "Kelly Chambers's player Scott (23) has signed.",
        "The 23-year-old joined the academy at the age of 8.",
        "An eight-year-old Scott joined the Royal academy.",
        "The 1.2 million pound stand opens on July 4th, 2017.",
        "The £1,200,000 stand opens on 2017-07-04, a Tuesday in Jul 2017.",
        "About 1,200 of 250 rows are sold.",
        "Chambers, one of the first to speak, said nothing at half time.",
        "The WHO and Natural England backed it.",
        "The Welsh visit of the Prime Minister, Mrs May, went well.",
        "May was in Wales. Jose said so. However, Kelly's club kept its place.",
        "Footballers rejoiced. Players, however, did not. They're pleased: It's a deal, I'm told.",
        "SCOTT SIGNS NEW DEAL WITH ROYALS' ACADEMY CLUB",
        "Scott Signs New Contract With Her Childhood Club",
        "“She was delighted,” it said. “Nobody knew.”",
        "• Delighted player\n• New agreement\n1. Signing\n2. Celebration",
        "see https://example.org/Invented/99 or write to x@Example.org",
        "",
        "   ",
    ],
)
def test_a_paraphrase_is_not_an_invention(output: str) -> None:
    assert [fact.text for fact in unsupported(output, ARTICLE)] == []


@pytest.mark.parametrize(
    "output",
    [
        "#Person1# asks Ms. Dawson to take a dictation. #Person2#'s office is in L.A.",
        "Person1 and Person 2 talk to Dr. Lee of I.B.M. about 32.50 dollars.",
        "Doctor: take a rest. Patient: I will.\nSpeaker: Nobody knows.",
        "Doctor Lee's employees get 3 warnings on 3 March at 10:30 or 16:00.",
        "The 21-year-old has 2 sisters; the three of them live in New York.",
        "Dawson, Tom and the New Yorkers meet.",
    ],
)
def test_speakers_and_what_was_said_in_a_dialogue_are_no_inventions(output: str) -> None:
    assert [fact.text for fact in unsupported(output, DIALOGUE)] == []


def test_facts_have_their_kind_and_their_place() -> None:
    text = "On Monday Ann Lee, 40, paid £1.2m to the U.N. and left Leeds in May 2015."
    found = facts(text)
    assert [(fact.kind, fact.text) for fact in found] == [
        ("date", "Monday"), ("name", "Ann Lee"), ("number", "40"), ("number", "1.2m"),
        ("name", "U.N."), ("name", "Leeds"), ("date", "May 2015"),
    ]  # fmt: skip
    assert all(text[fact.start : fact.end] == fact.text for fact in found)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,200", {1200}), ("1.2m", {1.2, 1.2e6}), ("3rd", {3}), ("20-year-old", {20}), ("5 million", {5e6}),
        ("twenty-one", {21}), ("two hundred and fifty", {250}), ("two thousand and five", {2005}), ("a dozen", {12}),
        ("three million two hundred thousand", {3.2e6}), ("twenty-first", {21}), ("ten thirty", {10}), ("1990s", {1990}),
    ],
)  # fmt: skip
def test_a_number_is_its_value(text: str, values: set[float]) -> None:
    phrase = phrase_at(tokens_of(text.removeprefix("a ")), 0)
    assert phrase is not None
    assert set(phrase.values) == values


def test_a_number_may_be_made_round_but_a_year_may_not() -> None:
    assert rounds_to(1234, 1200)
    assert rounds_to(586, 600)
    assert rounds_to(8.6, 9)
    assert rounds_to(1.234, 1.2)
    assert not rounds_to(1234, 1300)
    assert not rounds_to(12, 10)
    assert not rounds_to(24, 25)
    assert not rounds_to(2012, 2010)


MIXED = (
    "Ann Lee's the in May 4 July, 2017 U.S. NHS twenty-one and fifty thousand 1,200 £3bn 20:30 3/4/2017 #Person1#: Dr. "
    "“The of Bank's Mr. O'Neill é A380 1. 12m Monday 2017-05-03 (Jean-Claude) ... \n - 'twas Person1 _x_ ٣ ² İ"
)
PIECES = st.sampled_from(MIXED.split(" "))


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=14).map(" ".join)))
def test_a_text_is_always_supported_by_itself(text: str) -> None:
    assert unsupported(text, text) == []
    assert all(text[fact.start : fact.end] == fact.text for fact in facts(text))


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=14).map(" ".join))
def test_no_fact_is_counted_twice(text: str) -> None:
    found = facts(text)
    assert all(one.end <= other.start for one, other in pairwise(found))


def test_the_share_is_over_all_outputs_and_not_a_mean_of_shares() -> None:
    texts = Texts(["Scott, 99, left Leeds.", "Scott signed.", "", "She agreed."], [""] * 4, [ARTICLE] * 4)
    counted = statistics(texts)
    assert counted["unsupported"].tolist() == [[200.0, 3.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    assert mean(counted["unsupported"].sum(axis=0)) == 50.0
    assert mean(counted["facts"].sum(axis=0)) == 1.0


def test_a_long_word_or_line_takes_no_time() -> None:
    for text in ("a" * 50_000, "Ab1" * 20_000, "1," * 20_000, "A. " * 20_000, "one " * 20_000):
        unsupported(text[:3000], text)
