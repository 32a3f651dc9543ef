"""Where a command that takes long is watched: a line that changes in a terminal, lines now and then in a log file."""

import time
from datetime import datetime

from rich.console import Console
from rich.live import Live
from rich.text import Text

PLAIN_S = 15  # between two progress lines where the output is no terminal


def duration(seconds: float) -> str:
    """12 s, 3 min 05 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class Screen:
    """Where the demo is watched: a line that changes in a terminal, a line every PLAIN_S in a log file."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._said = time.monotonic()

    def line(self, text: str) -> None:
        """Print a line that stays, with the time of day."""
        self._console.print(Text(f"{datetime.now().astimezone():%H:%M:%S}  {text}"))
        self._said = time.monotonic()

    def task(self, name: str, state: str, outcome: str) -> None:
        """Print a task's new state."""
        if self._live is not None:
            self._live.update(Text())  # what it showed is over
        word = {"running": "started", "success": "done", "failed": "FAILED", "skipped": "skipped"}[state]
        if state != "running" or not self._console.is_terminal:
            self.line(f"{name:10} {word:8} {outcome}".rstrip())

    def progress(self, text: str) -> None:
        """Show how far the running task is."""
        if self._console.is_terminal:
            if self._live is None:
                self._live = Live(console=self._console, transient=True, refresh_per_second=2)
                self._live.start()
            self._live.update(Text(f"          {text}", style="cyan", no_wrap=True))
        elif text and time.monotonic() - self._said >= PLAIN_S:
            self.line(text)

    def close(self) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None
