"""What the X-ray keeps while examples pass by: sums, the first example of each template, the first of each fault."""

from collections import defaultdict
from dataclasses import dataclass, field

from tasks.data.files import Row
from tasks.model.xray.checks import Fault
from tasks.model.xray.seen import Seen


@dataclass
class Counts:
    """Sums and maxima over examples; grows by `add`."""

    examples: int = 0
    tokens: int = 0
    """That are computed, padding aside."""
    loss_tokens: int = 0
    """That carry loss: answers with their end tokens."""
    prompt_tokens: int = 0
    longest_prompt: int = 0
    longest_answer: int = 0
    """With the end token."""
    prompts_cut: int = 0

    def add(self, one: Seen, cut: bool) -> None:
        """Count one more example."""
        prompt, answer = len(one.prompt), len(one.places)
        self.examples += 1
        self.tokens += one.tokens
        self.loss_tokens += answer
        self.prompt_tokens += prompt
        self.longest_prompt = max(self.longest_prompt, prompt)
        self.longest_answer = max(self.longest_answer, answer)
        self.prompts_cut += cut

    @property
    def share(self) -> float:
        """Of the tokens that are computed, the part that carries loss: 0 to 1."""
        return self.loss_tokens / max(1, self.tokens)


@dataclass
class Finding:
    """One way of being wrong."""

    fault: Fault
    """The first example's."""
    row: Row
    seen: Seen | None
    """None where the example could not be found in its batch."""
    count: int = 0
    """Examples that fail this check."""


@dataclass
class Tally:
    """Grows by `add`."""

    counts: defaultdict[tuple[str, ...], Counts] = field(default_factory=lambda: defaultdict(Counts))
    """Of (): the run; of (family,) and of (family, template)."""
    specimens: dict[tuple[str, str], tuple[Row, Seen]] = field(default_factory=dict)
    """The first example of each (family, template)."""
    findings: dict[str, Finding] = field(default_factory=dict)
    """By check."""

    def add(self, row: Row, seen: Seen | None, fault: Fault | None, cut: bool) -> None:
        """One more example: what was seen of it, and its first fault."""
        family, template = row["family"], row["template"]
        if fault:
            self.findings.setdefault(fault.check, Finding(fault, row, seen)).count += 1
        if seen:
            self.specimens.setdefault((family, template), (row, seen))
            for part in ((), (family,), (family, template)):
                self.counts[part].add(seen, cut)
