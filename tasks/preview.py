r"""One record under every template, as the model will be shown it: `luthier preview --source xsum --row 12`.

With a base model in models/base, what is printed is decoded from the ids that finetune trains on: the prompt dim, and
what carries loss (the answer and the end token) in colour, or between « and » where there is none. Control tokens that
stand in the record are text to the model; they are printed as <\|im_start|>, so that they can be told from real ones.
"""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

from pydantic import ConfigDict
from rich.console import Console
from rich.text import Text

from tasks.data.files import Row
from tasks.data.splits import normalise
from tasks.errors import DataError, ParamsError
from tasks.model.shown import PlainForm, Shown, TrainedForm
from tasks.params import Section, load
from tasks.prompts.declared import Expand, Mix, check, require_columns
from tasks.prompts.harmless import harmless
from tasks.prompts.templates import CONTROL_TOKEN, Family, Template, load_family, render

VALID, QUARANTINE, BASE = Path("data/valid"), Path("data/quarantine"), Path("models/base")
PROMPT, CONTROL, LOSS, HEADING = "dim", "cyan", "bold green", "bold"


class Privacy(Section):
    """What is asked of section `validate`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    private: bool
    """No value of the data is shown."""


def preview(source: str | None, row: int | None, family: str | None, plain: bool, console: Console) -> None:
    """Print one record under all templates that the mixture has for it.

    Args:
        source: of expand.mixture; the first unless said.
        row: its number in the source's file; the first valid one unless said.
        family: show this one alone.
        plain: mark what carries loss by « and » even where there is colour.
        console: where to print.

    Raises:
        ParamsError: the source or the family is not in the mixture.
        DataError: there are no valid rows, or the row is not among them.
    """
    params, private = load("expand", Expand), load("validate", Privacy).private
    mixes = wanted(params.mixture, source, family)
    record = find_record(mixes[0].source, row)
    form = TrainedForm(BASE) if (BASE / "tokenizer_config.json").is_file() else PlainForm()
    control = control_pattern(form.control)
    marked = plain or not console.is_terminal or console.no_color
    console = Console(file=console.file, color_system=None) if marked else console
    for mix in mixes:
        chosen = load_family(mix.family)
        check(mix, chosen, params.held_out_wordings, params.mixture)
        require_columns(mix.source, {*mix.fields.values()}, [name for name in record if not name.startswith("_")])
        values = {**mix.constants, **{field: record[column] for field, column in mix.fields.items()}}
        say(console, Text(f"{mix.family}: {chosen.task}", HEADING))
        say(console, Text(about(values, mix, chosen, control)))
        for place, template in enumerate(chosen.templates):
            held_out = place >= len(chosen.templates) - params.held_out_wordings
            note = ", held out: for the test split alone" if held_out else ""
            say(console, Text(f"\n{template.id}{note}", HEADING))
            shown = example(template, values, chosen, form, set(mix.fields) if private else set())
            say(console, coloured(shown, control, marked))
        say(console, Text())
    say(console, Text(last_line(record, mixes, params.mixture, form.name, marked)))


def example(
    template: Template, values: dict[str, str], family: Family, form: PlainForm | TrainedForm, private: set[str]
) -> Shown:
    """What the model is shown; in place of the values of `private` fields stand their lengths."""
    shown = form.show(render(template.text, values), values[family.target].strip())
    if not private:
        return shown
    masked = {**values, **{field: f"[{field}: {len(values[field].strip()):,} characters]" for field in private}}
    return replace(form.show(render(template.text, masked), masked[family.target]), tokens=shown.tokens)


def say(console: Console, text: Text) -> None:
    """Print text as it is, long lines whole."""
    console.print(text, soft_wrap=True)


def wanted(mixture: list[Mix], source: str | None, family: str | None) -> list[Mix]:
    """The parts of the mixture that are asked for; those of the first source that fits."""
    fitting = [mix for mix in mixture if source in (None, mix.source) and family in (None, mix.family)]
    if not fitting:
        asked = " and ".join(f"{kind} '{name}'" for kind, name in (("source", source), ("family", family)) if name)
        there = ", ".join(f"{mix.source} as {mix.family}" for mix in mixture)
        raise ParamsError(f"params.yaml: expand.mixture has no part with {asked}; it has: {there}.")
    return [mix for mix in fitting if mix.source == fitting[0].source]


def find_record(source: str, row: int | None) -> Row:
    """A valid row by its number in its file; the first one for None."""
    path, aside = VALID / f"{source}.jsonl", QUARANTINE / f"{source}.jsonl"
    if not path.is_file():
        raise DataError(f"{path} is not there: run 'dvc repro validate' first.")
    with path.open(encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            try:
                record: Row = json.loads(line)
                if row in (None, record["_row"]) and record["_file"]:
                    return record
            except (ValueError, KeyError, TypeError):
                raise DataError(f"{path}, line {number}: not what validate writes; run 'dvc repro validate'.") from None
    if row is None:
        raise DataError(f"{path} holds no row; {aside} says why rows were set aside.")
    raise DataError(f"row {row} is not in {path}: the source has no such row, or {aside} says why it was set aside.")


def about(values: dict[str, str], mix: Mix, family: Family, control: re.Pattern[str]) -> str:
    """Whether expand may use the record for this family, and the control tokens in its text."""
    words = {field: len(normalise(values[field]).split()) for field in mix.fields}
    target, most = words.pop(family.target), mix.max_words
    said = "This record may become an example."
    if not values[family.target].strip():
        said = f"This record has no {family.target}: expand leaves it out."
    elif target > (most.target or math.inf) or sum(words.values()) > (most.input or math.inf):
        said = (
            f"This record is too long: expand leaves it out (input {sum(words.values()):,} words of at most "
            f"{most.input or 'any'}, target {target:,} of at most {most.target or 'any'})."
        )
    if count := sum(len(control.findall(values[field])) for field in mix.fields):
        said += f" Control tokens in its text: {count}; to the model they are text, and are shown with a backslash."
    return said


def coloured(shown: Shown, control: re.Pattern[str], marked: bool) -> Text:
    """An example with what carries loss in colour, or `marked` by « and »; and its numbers of tokens."""
    text = Text()
    for piece in shown.prompt:
        text.append(
            piece.text if piece.control else shown_text(piece.text, control), CONTROL if piece.control else PROMPT
        )
    text.append("«" if marked else "")
    for piece in shown.answer:
        text.append(piece.text if piece.control else shown_text(piece.text, control), LOSS)
    text.append("»" if marked else "")
    if shown.tokens is not None:
        text.append(f"\n({shown.tokens[0]:,} tokens of prompt, {shown.tokens[1]:,} that carry loss)")
    return text


def shown_text(text: str, control: re.Pattern[str]) -> str:
    """Text that neither passes for a control token nor moves a terminal's cursor."""
    return harmless(control.sub(lambda token: f"{token[0][0]}\\{token[0][1:]}", text))


def control_pattern(special: tuple[str, ...]) -> re.Pattern[str]:
    """What a control token looks like in text: a tokenizer's own, and those of models in use."""
    own = sorted(special, key=len, reverse=True)  # the longest first, so that none hides behind its beginning
    return re.compile("|".join([*map(re.escape, own), CONTROL_TOKEN.pattern]), re.IGNORECASE)


def last_line(record: Row, mixes: list[Mix], mixture: list[Mix], form: str, marked: bool) -> str:
    """What was shown, and how to see something else."""
    source = mixes[0].source
    others = list(dict.fromkeys(mix.source for mix in mixture if mix.source != source))
    return (
        f"Shown: row {record['_row']} of {source} ({record['_file']}) as {', '.join(mix.family for mix in mixes)}, in "
        f"the {form}. Loss is on what stands {'between « and »' if marked else 'in green'}. To see another: --row N, "
        f"--family NAME{', --source ' + ' or '.join(others) if others else ''}."
    )
