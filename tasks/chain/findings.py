"""What a verification finds, told a line a link as it comes, and kept."""

from collections.abc import Sequence

from tasks.chain.hashing import Checked

Fault = tuple[str, str]  # link, and what is wrong with it: a sentence without its full stop
COLUMN = 28  # characters
MEASURABLE = 1_000_000  # bytes; how fast fewer were read says nothing


class Findings:
    """What was found, link by link; printed as it comes."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def head(self, title: str) -> None:
        """Print where the links that follow are."""
        print(title, flush=True)

    def say(self, link: str, faults: Sequence[str], good: str) -> bool:
        """Print a link's line, or one for each of its faults; return whether there is none."""
        for told in faults:
            print(f"  {link:<{COLUMN}} BROKEN  {told}", flush=True)
        if not faults:
            print(f"  {link:<{COLUMN}} ok      {good}".rstrip(), flush=True)
        self.faults += [(link, told) for told in faults]
        return not faults

    def say_each(self, found: Sequence[Fault], what: str, good: str) -> None:
        """Print faults of several links, or that there is none."""
        for link in dict.fromkeys(link for link, _ in found):
            self.say(link, [told for of, told in found if of == link], "")
        if not found:
            self.say(what, [], good)

    def say_checked(self, checked: Sequence[Checked]) -> bool:
        """Print what became of claims, a line a link; return whether all hold."""
        whole = True
        for link in dict.fromkeys(one.claim.link for one in checked):
            own = [one for one in checked if one.claim.link == link]
            files = f"{len(own)} file{'s' if len(own) > 1 else ''}"
            good = f"{files:>9} {amount_of(sum(one.claim.bytes for one in own)):>10}  {_how_fast(own)}"
            whole &= self.say(link, [one.fault for one in own if one.fault], good)
        return whole


def _how_fast(checked: Sequence[Checked]) -> str:
    read, seconds = sum(one.claim.bytes for one in checked if one.seconds), sum(one.seconds for one in checked)
    if not seconds:
        return "read already: a hard link"
    return f"{read / seconds / 1e9:.2f} GB/s a core" if read >= MEASURABLE else ""


def amount_of(size: int) -> str:
    """Bytes as a person reads them: 541.6 MB."""
    for unit, bytes_in in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= bytes_in:
            return f"{size / bytes_in:.1f} {unit}"
    return f"{size} B"
