"""What the X-ray asks of every example, in the order of asking.

An example is told its first fault alone: what stands behind one is often its consequence. The ways of going wrong are
those of FAULTS C3 to C8 and the ones that collators and chat templates are known for.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One question."""

    holds: str
    """What is true of a sound example."""
    cure: str
    """What to do about one that fails; the end of the error's sentence."""


@dataclass(frozen=True)
class Fault:
    """Why one example fails."""

    check: str
    """A key of CHECKS."""
    detail: str
    """What is wrong with it, without a full stop."""


CHECKS = {
    "lengths": Check(
        "stands in its batch once and whole: the lengths add up",
        "Batches mix examples up: build them with tasks.model.batches.collate.",
    ),
    "mask": Check(
        "is kept apart from padding and from its neighbours (attention mask, or positions that restart)",
        "A padded batch needs an attention mask of ones and zeros on the right; a packed one needs positions that "
        "begin at 0 with each example, and no mask.",
    ),
    "vocabulary": Check(
        "has no id outside the model's embedding matrix",
        "The tokenizer and the model do not belong together: fetch both from the same model and revision.",
    ),
    "context": Check(
        "is no longer than the model's context",
        "Lower finetune.max_prompt_tokens or expand's max_words, or choose a base model that reads more.",
    ),
    "padding": Check(
        "has no padding that carries loss",
        "Give padding the label -100, and tell it by length: its id may also be the end token's.",
    ),
    "supervised": Check(
        "has tokens of the answer that carry loss",
        "It would teach nothing: see that the row has a target, and that the answer is not masked or cut away.",
    ),
    "places": Check(
        "carries loss on the ids that stand there, without gaps",
        "Labels are not shifted here (the loss does that), and all of an answer carries loss.",
    ),
    "end": Check(
        "has an end token that carries loss",
        "The model would never learn to stop: end each answer with the end token, and mask padding by length, never "
        "by id.",
    ),
    "prompt_loss": Check(
        "has no prompt that carries loss",
        "Give the prompt the label -100: only the answer and its end token carry loss.",
    ),
    "truncated": Check(
        "carries loss on the whole of the row's target",
        "Keep the answer whole and shorten the prompt: raise finetune.max_new_tokens or lower expand's max_words.",
    ),
    "answer": Check(
        "carries loss on the row's target and on nothing else",
        "The labels are another row's, or the tokenizer does not give back what it is given.",
    ),
    "answer_control": Check(
        "has no control token inside its answer",
        "Control tokens in a target must be encoded as text: encode it with tasks.model.encode.",
    ),
    "prompt": Check(
        "has a prompt that holds the row's text",
        "Raise finetune.max_prompt_tokens or lower expand's max_words; a prompt is never cut without being counted.",
    ),
    "bos": Check(
        "begins with as many BOS tokens as its format asks for",
        "Let either the chat template or the tokenizer write it, never both and never none.",
    ),
    "prompt_control": Check(
        "has no control token in its prompt but the frame's own",
        "Control tokens in a row's text must be encoded as text, and the frame must be whole: encode it with "
        "tasks.model.encode.",
    ),
}
