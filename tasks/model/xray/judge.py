"""Is this what training should see? The source row and the tokenizer's own words are the truth, not our encoder.

    judge = Judge(tokenizer, contract, Limits(context=8192, vocabulary=49152))
    faults = judge(rows, seen)   # one for each example: its first fault, or None

Texts are compared as decoded. A tokenizer that normalises (T5's white space) is asked what it makes of the row's text
alone; that is then allowed as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.data.files import Row
from tasks.model.batches import IGNORED
from tasks.model.encode import Tokenizer
from tasks.model.xray.checks import Fault
from tasks.model.xray.seen import Seen
from tasks.prompts.contract import Contract

SHOWN = 40  # characters of a text in an error's sentence


@dataclass(frozen=True)
class Limits:
    """What the model can take."""

    context: int | None
    """Tokens that its positions reach; None where they are relative."""
    vocabulary: int
    """Rows of its embedding matrix; often more than the tokenizer has, never fewer."""


class Judge:
    """Asks CHECKS of examples, those about tensors first and those about text behind them."""

    def __init__(self, tokenizer: Tokenizer, contract: Contract, limits: Limits) -> None:
        self.tokenizer, self.contract, self.limits = tokenizer, contract, limits
        self.end, self.bos = contract.end_token_id, tokenizer.bos_token_id
        special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        unknown = {tokenizer.unk_token_id} - {self.end, self.bos}  # what stands for any odd character is no control
        self.control = frozenset((special | set(tokenizer.all_special_ids)) - unknown)
        added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.content.strip()}
        self.spelt = sorted(added - {tokenizer.unk_token})
        self.frame = self._frame()
        self.cuts = getattr(contract, "long_prompts", "refuse") == "cut"

    def __call__(self, rows: Sequence[Row], seen: Sequence[Seen]) -> list[Fault | None]:
        """The first fault of each example."""
        faults = [next(self._tensor_faults(one), None) for one in seen]
        clean = [place for place, fault in enumerate(faults) if fault is None]
        prompts = self.decode([seen[place].prompt for place in clean])
        answers = self.decode([seen[place].carried[:-1] for place in clean])
        for place, prompt, answer in zip(clean, prompts, answers, strict=True):
            faults[place] = next(self._text_faults(rows[place], seen[place], prompt, answer), None)
        return faults

    def is_cut(self, row: Row, one: Seen) -> bool:
        """Whether the prompt was shortened to the contract's limit, where the contract allows that."""
        full = self.cuts and len(one.prompt) == self.contract.max_prompt_tokens
        return full and not self._holds(row["input"], self.decode([one.prompt])[0])

    def decode(self, ids: list[list[int]]) -> list[str]:
        """Texts as they are, control tokens included."""
        if not ids:  # which a tokenizer takes for one text of no tokens
            return []
        return list(self.tokenizer.batch_decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _frame(self) -> list[int]:
        """Control tokens that belong to a prompt, in order, whatever the text is."""
        if self.contract.format == "chat":
            message = [{"role": "user", "content": "x"}]
            ids = self.tokenizer.apply_chat_template(message, add_generation_prompt=True, return_dict=True)["input_ids"]
        elif self.contract.architecture == "seq2seq":
            ids = self.tokenizer("x")["input_ids"]
        else:  # a plain causal prompt begins as the model's own texts did
            ids = [] if self.bos is None else [self.bos]
        return [number for number in ids if number in self.control]

    def _tensor_faults(self, one: Seen) -> Iterator[Fault]:
        carried, limit = one.carried, self.limits
        highest, lowest = max([*one.ids, *carried], default=0), min([*one.ids, *carried], default=0)
        if highest >= limit.vocabulary or lowest < 0:
            wrong = highest if highest >= limit.vocabulary else lowest
            yield Fault("vocabulary", f"it has the id {wrong}; the model's embedding has {limit.vocabulary} rows")
        longest = max(len(one.ids), len(carried) if one.kind == "seq2seq" else 0)
        if limit.context is not None and longest > limit.context:
            yield Fault("context", f"it has {longest} tokens, and the model reads {limit.context}")
        if padded := self._padding(one):
            yield Fault("padding", f"{padded} padding tokens carry loss")
        if not [number for number in carried if number != self.end]:
            yield Fault("supervised", "only its end token carries loss" if carried else "no token of it carries loss")
        if one.places and one.places != list(range(one.places[0], one.places[0] + len(carried))):
            yield Fault(
                "places", f"loss has gaps: {len(carried)} ids between {one.places[0]} and {one.places[-1]} have it"
            )
        if one.kind == "causal" and carried != [one.ids[place] for place in one.places]:
            yield Fault("places", "its labels are not the ids that stand at their places; they may be shifted")
        if one.kind == "seq2seq" and one.places[:1] != [0]:
            yield Fault("places", f"the first {one.places[0]} ids of its answer carry no loss")
        if carried[-1:] != [self.end] or (one.kind == "causal" and one.places[-1] != len(one.ids) - 1):
            yield Fault("end", f"its end token {self.tokenizer.convert_ids_to_tokens(self.end)!r} carries no loss")

    def _padding(self, one: Seen) -> int:
        """How many padding tokens carry loss. In a seq2seq row they are what stands behind the end token."""
        if one.kind == "causal":
            return sum(label != IGNORED for label in one.padding)
        behind = one.carried[one.carried.index(self.end) + 1 :] if self.end in one.carried else []
        return len(behind) if set(behind) <= {self.contract.pad_token_id, self.end} else 0

    def _text_faults(self, row: Row, one: Seen, prompt: str, answer: str) -> Iterator[Fault]:
        target = row["target"]
        if answer != target and not self._is(answer, wanted := self._alone(target), target):
            yield _answer_fault(answer, target if target.strip() in answer else wanted)
        if inside := [number for number in one.carried[:-1] if number in self.control]:
            yield Fault("answer_control", f"its answer holds the control token {self._names(inside[:1])}")
        if not self._holds(row["input"], prompt) and not (
            self.cuts and len(one.prompt) == self.contract.max_prompt_tokens
        ):
            yield Fault("prompt", _missing(row["input"], prompt, len(one.prompt)))
        leading = next((place for place, number in enumerate(one.prompt) if number != self.bos), len(one.prompt))
        if leading != (wanted_bos := int(self.frame[:1] == [self.bos])):
            begins = self._names(one.prompt[:3])
            yield Fault("bos", f"it begins with {leading} BOS tokens and its format asks for {wanted_bos}: {begins}")
        if (found := [number for number in one.prompt if number in self.control]) != self.frame:
            detail = (
                f"the control tokens of its prompt are {self._names(found)}; the frame's are {self._names(self.frame)}"
            )
            yield Fault("prompt_control", detail)

    def _is(self, answer: str, wanted: str, target: str) -> bool:
        return answer == wanted or (self._spells_control(target) and self._bare(answer) == self._bare(wanted))

    def _holds(self, text: str, prompt: str) -> bool:
        """White space around a text is the chat template's business: many of them trim it."""
        if text.strip() in prompt or (alone := self._alone(text).strip()) in prompt:
            return True
        return self._spells_control(text) and self._bare(alone) in self._bare(prompt)

    def _spells_control(self, text: str) -> bool:
        """Around such a token a text is encoded in pieces; a normalising tokenizer forgets what was between them."""
        return any(token in text for token in self.spelt)

    def _bare(self, text: str) -> str:
        return "".join(text.replace(self.tokenizer.unk_token or " ", "").split())

    def _alone(self, text: str) -> str:
        """What the tokenizer gives back for a text by itself."""
        ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return self.decode([list(ids)])[0]

    def _names(self, ids: Sequence[int]) -> str:
        return " ".join(str(token) for token in self.tokenizer.convert_ids_to_tokens(list(ids))) or "none"


def _answer_fault(answer: str, wanted: str) -> Fault:
    """How the text that carries loss differs from the target."""
    begun = answer.rstrip("\ufffd")  # a character cut in two
    if answer.endswith(wanted):
        extra = answer.removesuffix(wanted)
        return Fault("prompt_loss", f"what stands before the answer carries loss too: {extra[-SHOWN:]!r}")
    if wanted.startswith(begun):
        lost = wanted.removeprefix(begun)
        return Fault("truncated", f"its answer ends too early, {lost[:SHOWN]!r} is cut off")
    if wanted.endswith(answer.lstrip("\ufffd")):
        return Fault("truncated", f"only the end of its answer carries loss: {answer[:SHOWN]!r}")
    return Fault("answer", f"what carries loss is {answer[:SHOWN]!r}, but the row's target is {wanted[:SHOWN]!r}")


def _missing(text: str, prompt: str, tokens: int) -> str:
    """How much of a row's text its prompt holds."""
    held, beyond = 0, len(text) + 1
    while beyond - held > 1:  # by halves: a beginning of a text that is held holds all shorter ones
        middle = (held + beyond) // 2
        held, beyond = (middle, beyond) if text[:middle] in prompt else (held, middle)
    return f"its prompt of {tokens} tokens holds the first {held} of the {len(text)} characters of the row's text"
