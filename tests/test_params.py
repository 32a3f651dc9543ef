"""params.yaml: what is missing, unknown or out of range is named, with what is allowed."""

from pathlib import Path

import pytest

from tasks.errors import ParamsError
from tasks.params import Section, load


class Inner(Section):
    """A nested section."""

    rank: int
    alpha: int


class Outer(Section):
    """A section with every shape of nesting."""

    seed: int
    lora: Inner
    sources: dict[str, Inner]
    mixture: list[Inner]


GOOD = """
step: {seed: 1, lora: {rank: 2, alpha: 3}, sources: {a: {rank: 1, alpha: 1}}, mixture: [{rank: 1, alpha: 2}]}
other: {}
"""


def refusal(tmp_path: Path, text: str) -> str:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError) as error:
        load("step", Outer, path)
    return str(error.value)


def test_a_complete_section_is_read(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(GOOD)
    assert load("step", Outer, path).sources["a"].rank == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "seed: 1",
            "sed: 1",
            "'step.sed' is not a key. Did you mean 'seed'? Known here: seed, lora, sources, mixture.",
        ),
        ("seed: 1, ", "", "'step.seed' is missing."),
        (
            "lora: {rank: 2, alpha: 3}",
            "lora: {rnk: 2, alpha: 3}",
            "'step.lora.rnk' is not a key. Did you mean 'rank'? Known here: rank, alpha.",
        ),
        (
            "a: {rank: 1,",
            "a: {ranks: 1,",
            "'step.sources.a.ranks' is not a key. Did you mean 'rank'? Known here: rank, alpha.",
        ),
        ("[{rank: 1, alpha: 2}]", "[{rank: 1}]", "'step.mixture.0.alpha' is missing. Known here: rank, alpha."),
        ("seed: 1", "seed: many", "'step.seed' = 'many'"),
        ("step:", "steps:", "has no section 'step'; its sections are: steps, other."),
        ("{seed", "{seed: {", "is not YAML"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert said in refusal(tmp_path, GOOD.replace(old, new, 1))


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="run this from the project's top folder"):
        load("step", Outer, tmp_path / "params.yaml")
