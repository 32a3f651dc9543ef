"""Look at what training would see, before it costs anything: the label X-ray.

    seen = xray(rows, examples, make_batch, tokenizer, contract, limits)
    path.write_text(seen.text)   # also where something is wrong: the text shows it
    require_sound(seen)          # TrainingError on the first fault
    ...
    check_initial_loss(loss, low, high)

Only the tensors of the batches, the source rows and the tokenizer are believed; see judge.py.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tasks.data.files import Row
from tasks.errors import TrainingError
from tasks.model.batches import Batch
from tasks.model.encode import Encoded, Tokenizer
from tasks.model.xray.checks import CHECKS, Fault
from tasks.model.xray.judge import Judge, Limits
from tasks.model.xray.seen import Seen, look
from tasks.model.xray.sheet import sheet
from tasks.model.xray.tally import Counts, Finding, Tally
from tasks.prompts.contract import Contract

TOGETHER = 8  # examples in a batch: several, so that padding and packing are seen


@dataclass(frozen=True)
class XRay:
    """What was seen."""

    text: str
    """The artefact, for people: the same examples give the same bytes."""
    examples: int
    """That were looked at."""
    counts: Counts
    """Of the examples that could be seen: all, when all is well."""
    families: dict[str, Counts]
    findings: tuple[Finding, ...]
    """What is wrong, in the order of CHECKS; empty when all is well."""
    private: bool
    """Whether text and messages keep silent about what the examples say."""


def xray(
    rows: Sequence[Row],
    examples: Sequence[Encoded],
    make_batch: Callable[[Sequence[Encoded]], Batch],
    tokenizer: Tokenizer,
    contract: Contract,
    limits: Limits,
    private: bool = False,
) -> XRay:
    """Examine every example, and draw one of each family and template token by token.

    Args:
        rows: {id, family, template, input, target, ...}, the truth.
        examples: what they were encoded to, in the same order.
        make_batch: puts examples together as training does.
        tokenizer: of the base model.
        contract: how prompts and answers are written.
        limits: what the model can take.
        private: show no text of an example.

    Raises:
        TrainingError: there is no example, or not one for each row. What is wrong with examples is not raised here
            but by `require_sound`, so that the text can be kept first.
    """
    if not rows or len(rows) != len(examples):
        raise TrainingError(
            f"{len(rows)} rows of data were encoded to {len(examples)} examples: training needs one for each row and "
            "at least one; run expand, and look at its sources and at expand.mixture."
        )
    judge, tally = Judge(tokenizer, contract, limits), Tally()
    for start in range(0, len(rows), TOGETHER):
        some = range(start, min(start + TOGETHER, len(rows)))
        chosen = [examples[place] for place in some]
        _examine([rows[place] for place in some], look(make_batch(chosen), chosen, contract.architecture), judge, tally)
    findings = tuple(tally.findings[check] for check in CHECKS if check in tally.findings)
    families = {key[0]: counts for key, counts in tally.counts.items() if len(key) == 1}
    text = sheet(tally, findings, len(rows), judge, private)
    return XRay(text, len(rows), tally.counts[()], families, findings, private)


def require_sound(seen: XRay) -> None:
    """Stop before training where the X-ray found something.

    Raises:
        TrainingError: naming the first example with the first of the faults, and how many have it.
    """
    if not seen.findings:
        return
    first = seen.findings[0]
    details = [
        "what fails is: it " + CHECKS[finding.fault.check].holds if seen.private else finding.fault.detail
        for finding in seen.findings
    ]  # a detail may quote the example
    others = "".join(
        f"; {finding.count} another ({detail})"
        for finding, detail in list(zip(seen.findings, details, strict=True))[1:]
    )
    raise TrainingError(
        f"example {first.row['id']} (family {first.row['family']}, template {first.row['template']}): "
        f"{details[0]}; {first.count} of {seen.examples} examples have this fault{others}. "
        f"{CHECKS[first.fault.check].cure}"
    )


def check_initial_loss(loss: float, low: float, high: float) -> None:
    """Refuse a first loss that an untouched base model does not have on sound examples.

    Args:
        loss: mean over the tokens that carry loss, in nats, before the first step.
        low: the least that is believed.
        high: the most that is believed.

    Raises:
        TrainingError: it is outside, or no number.
    """
    if low <= loss <= high:  # never true of NaN
        return
    if not math.isfinite(loss):
        why = "the weights are probably damaged, or the precision does not hold their range"
    elif loss < low:
        why = "the answer probably stands in the prompt, or labels carry loss that are copies of it"
    else:
        why = "the labels, the chat template or the tokenizer are probably not this model's, or its weights are random"
    raise TrainingError(
        f"before the first step the loss is {loss:.3f} a token, outside {low:g} to {high:g}: {why}; look at the label "
        "X-ray, then at the base model, and widen the band only if the text there is right."
    )


def _examine(rows: list[Row], looked: list[Seen | Fault], judge: Judge, tally: Tally) -> None:
    """Judge one batch."""
    seen = [one for one in looked if isinstance(one, Seen)]
    judged = iter(judge([row for row, one in zip(rows, looked, strict=True) if isinstance(one, Seen)], seen))
    for row, one in zip(rows, looked, strict=True):
        if isinstance(one, Fault):
            tally.add(row, None, one, cut=False)
        else:
            fault = next(judged)
            tally.add(row, one, fault, cut=fault is None and judge.is_cut(row, one))
