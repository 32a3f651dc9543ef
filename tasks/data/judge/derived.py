"""Columns that Great Expectations cannot see by itself, made from a text column: lengths in tokens, the language.

Tokens are counted by the base model's own tokenizer.json, without special tokens. The language is py3langid's guess
at a text's start; a text too short or too mixed to tell is not judged, and says so. Both look at each different text
once.
"""

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from tokenizers import Tokenizer

from tasks.data.files import read_json
from tasks.errors import DataError

Numbers = npt.NDArray[np.int64]
Codes = npt.NDArray[np.object_]
SLICE = 4096  # texts a call of the tokenizer
LOOKED_AT = 500  # characters of a text whose language is guessed
LETTERS = 20  # of those, at least so many: a shorter text could be of any language
OUT_OF_QUESTION = 0.01  # the chance of the wanted languages under which a text is in another one


def tokenizer(path: Path) -> Tokenizer:
    """The base model's tokenizer.

    Raises:
        DataError: the file is not there or no tokenizer.
    """
    if not path.is_file():
        raise DataError(f"{path} is not there: lengths in tokens are counted by it. Run the steps in order: dvc repro.")
    return _loaded(path.resolve())


@cache
def _loaded(path: Path) -> Tokenizer:
    try:
        found = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises its own kind
        raise DataError(f"{path.name} is no tokenizer ({error}): fetch the base model again.") from None
    found.no_truncation()  # either may be set in the file, for training
    found.no_padding()
    return found


def added_tokens(path: Path) -> list[str]:
    """What the base model's tokenizer looks for in a text before anything else, but for plain words and spaces."""
    tokenizer(path)  # refuses what is none
    found = [token["content"] for token in read_json(path).get("added_tokens", [])]
    return [token for token in found if token.strip() and not token.isalnum()]


def token_lengths(texts: pa.ChunkedArray, path: Path) -> Numbers:
    """Tokens of each text, special ones not added."""
    counter = tokenizer(path)

    def count(different: pa.Array) -> Numbers:
        counts: list[int] = []
        for start in range(0, len(different), SLICE):
            some = different[start : start + SLICE].to_pylist()
            counts += [len(found) for found in counter.encode_batch_fast(some, add_special_tokens=False)]
        return np.array(counts, np.int64)

    return _of_each(texts, count, np.int64)


def languages(texts: pa.ChunkedArray, wanted: list[str]) -> Codes:
    """The language of each text as a code such as `en`; None where it cannot be told.

    Measured on pieces of the default's articles and of five other languages: of 40 letters, 1 in 1,000 English pieces
    counts as another language, and 997 in 1,000 others do; of 80 and more, none and all.

    Args:
        texts: of which the first 500 characters are looked at.
        wanted: only where these are out of the question does a text count as one in another language.
    """
    guesser = _guesser()

    def guess(text: str) -> str | None:
        code = str(guesser.classify(text)[0])
        if code in wanted:
            return code
        chances = dict(guesser.rank(text))
        return code if sum(chances[name] for name in wanted) < OUT_OF_QUESTION else None

    def guesses(different: pa.Array) -> Codes:
        told = pc.greater_equal(pc.count_substring_regex(different, r"\p{L}"), LETTERS).to_pylist()
        codes = [guess(text) if enough else None for text, enough in zip(different.to_pylist(), told, strict=True)]
        return np.array(codes, np.object_)

    return _of_each(pc.utf8_slice_codeunits(texts, 0, LOOKED_AT), guesses, np.object_)


def known_languages() -> list[str]:
    """The codes that `languages` can find."""
    return sorted(_guesser().labels)


@cache
def _guesser() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415  (its model takes a moment)

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language_counts(codes: Codes) -> str:
    """'en 994, cy 5; 1 not judged', for a reader."""
    counts = Counter(code for code in codes if code is not None)
    unknown = len(codes) - counts.total()
    found = ", ".join(f"{code} {count:,}" for code, count in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0])))
    return "; ".join(filter(None, [found, f"{unknown:,} not judged: too short or not clear" if unknown else ""]))


def _of_each(texts: pa.ChunkedArray, measure: Callable[[pa.Array], npt.NDArray[Any]], kind: type) -> npt.NDArray[Any]:
    """`measure` of each text; it is given each different text of a chunk once."""
    found: list[npt.NDArray[Any]] = [np.zeros(0, kind)]
    for chunk in texts.chunks:
        encoded = pc.dictionary_encode(chunk)
        found.append(measure(encoded.dictionary)[np.asarray(encoded.indices, np.int64)])
    return np.concatenate(found)
