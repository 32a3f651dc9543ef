"""Errors that a user can cause: one sentence that says what is wrong, where, what is allowed and what to do.

`tasks/step.py` prints them without a traceback and exits non-zero. Anything else that escapes is a bug of ours
and keeps its traceback.
"""

import difflib
import re
from collections.abc import Iterable

# Up to the last @ before a slash, for a password may hold one; what signs an address for whoever has it.
LOGIN = re.compile(r"(?<=://)[^/\s]+(?=@)")
SIGNED = re.compile(
    r"(?<=[?&])((?:x-amz-(?:signature|credential|security-token)|sig|signature|(?:access_)?token|(?:api_?)?key|secret"
    r"|password)=)[^&\s'\"]+",
    re.IGNORECASE,
)


def without_logins(text: str) -> str:
    """The text with the login inside any URL hidden, and whatever signs one."""
    return SIGNED.sub(r"\1(hidden)", LOGIN.sub("(hidden)", text))


class LuthierError(Exception):
    """Something the user can mend; the message is the whole of what they are shown, and holds no URL's login."""

    def __init__(self, message: str = "") -> None:
        super().__init__(without_logins(message))


class ParamsError(LuthierError):
    """params.yaml holds a value that is missing, unknown or out of range."""


class SourceError(LuthierError):
    """A source or base model is not there, has other bytes than pinned, or lacks a column."""


class DataError(LuthierError):
    """The records may not be used as they are."""


class LeakError(LuthierError):
    """Something from the test or dev split, or from a benchmark, stands in the training examples."""


class TrainingError(LuthierError):
    """Training would be, or became, wrong."""


class OutageError(LuthierError):
    """What a step needs does not answer now, and may later (the step exits with 75, "try again")."""


class BusyError(OutageError):
    """Another process is at the same work."""


class SourceOutageError(SourceError, OutageError):
    """A source cannot be reached."""


class DeviceError(OutageError):
    """The GPU was lost while a step used it."""


class ContractError(LuthierError):
    """A model would be prompted in another way than it was trained with."""


class TrackingError(LuthierError):
    """MLflow cannot be reached or refuses."""


class TrackingOutageError(TrackingError, OutageError):
    """MLflow does not answer."""


class SealError(LuthierError):
    """Something is not what was signed, or nobody known signed it."""


class LineageError(LuthierError):
    """What a model stands on is not there, or is not what was recorded."""


class LineageOutageError(LineageError, OutageError):
    """git is at work elsewhere in the repository for a moment."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question to put behind a sentence about an unknown name; nothing where no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""
