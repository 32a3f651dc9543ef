"""The log of a pod, read again and again: each line once, though it is asked for from a little before the last one."""

import time
from dataclasses import dataclass

MARGIN_S = 5  # that a log is read again, so that nothing between two reads is lost


@dataclass
class Tail:
    """How far a pod's log was read."""

    read_at: float = 0.0
    """Monotonic; 0: never."""
    last: str = ""
    """The time that the kubelet gave the last line."""
    same: int = 0
    """Lines of that very time."""

    def asked(self, last: int | None) -> dict[str, int]:
        """What is asked of the API: lines since the last read; at first no more than the `last` ones, if said."""
        if self.read_at:
            return {"since_seconds": int(time.monotonic() - self.read_at) + MARGIN_S}
        return {} if last is None else {"tail_lines": last}

    def new(self, stamped: list[str]) -> list[str]:
        """Lines behind the last that was shown; of those of the very same time, as many as were not."""
        lines, again = [], self.same
        for line in stamped:
            stamp, _, text = line.partition(" ")
            if stamp < self.last:
                continue
            if stamp == self.last and again:
                again -= 1
                continue
            self.same = self.same + 1 if stamp == self.last else 1
            self.last = stamp
            lines.append(text)
        return lines
