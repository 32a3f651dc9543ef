"""The X-ray on paper: what carries loss, token by token. Plain text, no clock, the same bytes for the same examples."""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from tasks.data.files import Row
from tasks.model.xray.checks import CHECKS
from tasks.model.xray.judge import Judge
from tasks.model.xray.seen import Seen
from tasks.model.xray.tally import Finding, Tally
from tasks.model.xray.tokens import Spelling, visible

WIDTH = 108  # columns of flowing text
WHOLE, HEAD, TAIL = 60, 12, 12  # a sequence this short is listed whole, else its prompt's first and last tokens

HOW_TO_READ = """\
The label X-ray: what training is about to see, taken from the tensors of its own batches before the first step.

How to read it
  «text»   carries loss: this, and nothing else, is what the model learns to write. All other text is only read.
  ⟦token⟧  is one token that is no text: a control token, or <unk> for text that the tokenizer does not know.
           The same characters without ⟦ ⟧ are a row's text, and harmless.
  ⏎ ⇥ ·    are a line end, a tab and, in the tables, a space. Positions count from 0.
A sound answer begins with « right behind the prompt's last token and closes with its end token inside the ».
"""


def sheet(tally: Tally, findings: Sequence[Finding], examples: int, judge: Judge, private: bool) -> str:
    """The whole text.

    Args:
        tally: what was counted and which examples are shown.
        findings: what is wrong; their first examples are shown as well.
        examples: how many were looked at.
        judge: whose tokenizer is asked for words.
        private: leave the examples out.
    """
    spelling = Spelling(judge.tokenizer, judge.control | {judge.tokenizer.unk_token_id})
    blocks = [HOW_TO_READ, _summary(tally), _checks(findings, examples, tally)]
    if private:
        return "\n\n".join([*blocks, "Examples are not shown (finetune.private)."]) + "\n"
    for finding in findings:
        if finding.seen:
            said = [f"FAULT   {finding.fault.detail}", f"To do   {CHECKS[finding.fault.check].cure}"]
            blocks.append(_example(finding.row, finding.seen, spelling, said))
    for _, (row, seen) in sorted(tally.specimens.items()):
        blocks.append(_example(row, seen, spelling, []))
    return "\n".join(line.rstrip() for line in "\n\n".join(block.rstrip("\n") for block in blocks).split("\n")) + "\n"


def _summary(tally: Tally) -> str:
    """One line for each family and template: how many examples, how long, how much of it carries loss."""
    names = [(*key, "") if len(key) == 1 else key for key in tally.counts if key]
    first, second = (max([len(name[place]) for name in names] + [8]) for place in (0, 1))
    lines = [
        f"  {'family':<{first}}  {'template':<{second}}  examples  prompt tokens  answer tokens    loss on",
        f"  {'':<{first}}  {'':<{second}}              mean    max     mean    max  of tokens",
    ]
    for key in [*sorted(key for key in tally.counts if len(key) == 2), ()]:
        counts = tally.counts[key]
        family, template = key if len(key) == 2 else ("all", "")
        each = max(1, counts.examples)
        lines.append(
            f"  {family:<{first}}  {template:<{second}}  {counts.examples:>8,}"
            f"  {counts.prompt_tokens / each:>6.1f} {counts.longest_prompt:>6,}"
            f"  {counts.loss_tokens / each:>7.1f} {counts.longest_answer:>5,}  {counts.share:>8.1%}"
        )
    return "\n".join(["Examples", *lines])


def _checks(findings: Sequence[Finding], examples: int, tally: Tally) -> str:
    """One line for each question, with the examples that failed it."""
    failed = {finding.fault.check: finding.count for finding in findings}
    lines = [f"Checks: every one of the {examples:,} examples ..."]
    for name, check in CHECKS.items():
        count = failed.get(name, 0)
        lines.append(f"  {'FAULT' if count else 'ok':<6} {check.holds:<96} {count:>6,} do not")
    cut = tally.counts[()].prompts_cut
    lines.append(
        f"Prompts that were cut to finetune.max_prompt_tokens: {cut:,} of {examples:,} ({cut / examples:.1%})."
    )
    if failed:
        lines.append("An example is counted at the first question that it fails. Training does not begin.")
    return "\n".join(lines)


def _example(row: Row, seen: Seen, spelling: Spelling, said: list[str]) -> str:
    """One example as text and as a table."""
    carried = len(seen.places)
    lines = [
        f"── {row['family']} / {row['template']} ".ljust(WIDTH + 2, "─"),
        f"{row['id']}: {seen.tokens} tokens, {carried} of them carry loss ({carried / max(1, seen.tokens):.1%})",
        *said,
        "",
    ]
    if seen.kind == "seq2seq":
        unmarked = [(number, False) for number in seen.ids]
        last = max(seen.places, default=-1) + 1
        written = [(label, place in set(seen.places)) for place, label in enumerate(seen.labels[:last])]
        parts = [("read by the encoder", unmarked, len(unmarked)), ("written by the decoder", written, 0)]
    else:
        places = set(seen.places)
        parts = [("", [(number, place in places) for place, number in enumerate(seen.ids)], len(seen.prompt))]
    for title, tokens, prompt in parts:
        lines += [f"  {title}:"] if title else []
        lines += [*_flowing(tokens, spelling), "", *_table(tokens, prompt, spelling), ""]
    return "\n".join(lines)


def _flowing(tokens: list[tuple[int, bool]], spelling: Spelling) -> Iterator[str]:
    """The text, what carries loss between « and »."""
    text = ""
    for loss, run in groupby(tokens, key=lambda token: token[1]):
        said = spelling.text([number for number, _ in run])
        text += f"«{said}»" if loss else said
    for line in text.replace("\t", "⇥").replace("\n", "⏎\n").split("\n"):
        yield from textwrap.wrap(line, WIDTH, initial_indent="  ", subsequent_indent="  ", replace_whitespace=False)


def _table(tokens: list[tuple[int, bool]], prompt: int, spelling: Spelling) -> Iterator[str]:
    """position, id, token, loss; the middle of a long prompt is left out."""
    yield f"  {'position':>8}  {'id':>8}  loss  token"
    left_out = range(HEAD, prompt - TAIL) if len(tokens) >= WHOLE else range(0)
    for place, (number, loss) in enumerate(tokens):
        if place not in left_out:
            yield f"  {place:>8}  {number:>8}  {'loss' if loss else '   -'}  {visible(spelling.one(number))}"
        elif place == left_out.start:
            held = sum(tokens[skipped][1] for skipped in left_out)
            yield f"  … {len(left_out)} prompt tokens {f'of which {held} carry' if held else 'without'} loss …"
