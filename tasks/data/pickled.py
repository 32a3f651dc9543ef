"""Pickles: files that run code when they are read. What holds one is neither registered nor loaded.

Told by name, and by the first bytes where the name says nothing. Truth: Python's pickletools (protocols 2 to 5 begin
with 0x80 and their number), torch 2.13 `torch/serialization.py` (a zip archive with a pickle inside).
"""

from pathlib import Path

from tasks.errors import SealError

ENDINGS = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"}
STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")


def refuse_pickles(folder: Path, what: str) -> None:
    """Refuse a folder that holds a pickle, or what might be one.

    Args:
        folder: of a model.
        what: whose folder it is, for the error.

    Raises:
        SealError: naming the file.
    """
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        if file.suffix.lower() in ENDINGS or _begins_like_one(file):
            raise SealError(
                f"{what} holds {file.relative_to(folder).as_posix()}, a pickle by its name or first bytes: reading one "
                "runs whatever code is in it. Remove it, or save the weights as safetensors."
            )


def _begins_like_one(file: Path) -> bool:
    with file.open("rb") as opened:
        start = opened.read(9)
    # safetensors begins with the length of its header, which may be any 8 bytes, and then the header.
    return start.startswith(STARTS) and not (file.suffix == ".safetensors" and start.endswith(b"{"))
