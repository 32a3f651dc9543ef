"""`luthier use`: params.yaml for a table of one's own, which every step then accepts."""

import csv
import shutil
from pathlib import Path

import pytest

from tasks.errors import DataError, ParamsError
from tasks.evaluate import Evaluate
from tasks.expand import Expand
from tasks.fetch import Fetch
from tasks.params import load
from tasks.promote import Promote
from tasks.use import use
from tasks.validate import Validate

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    with (tmp_path / "tickets.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["customer", "ticket", "summary"], ["7", 'It is, "broken".', "Broken."]])
    return Path("tickets.csv")


def test_every_section_is_accepted_and_speaks_of_the_table(table: Path) -> None:
    said = use(table, "ticket", "summary", "customer", "summarise")
    assert said.startswith("params.yaml now uses tickets.csv: 1 rows, 'ticket' -> 'summary' as summarise.")
    source = load("fetch", Fetch).sources["mine"]
    assert (source.url, len(source.sha256)) == ("tickets.csv", 64)
    assert load("validate", Validate).sources["mine"].columns == ["ticket", "summary", "customer"]
    expand = load("expand", Expand)
    assert expand.groups == {"mine": "customer"}
    assert [(mix.family, mix.fields) for mix in expand.mixture] == [
        ("summarise", {"document": "ticket", "summary": "summary"})
    ]
    assert list(load("evaluate", Evaluate).metrics) == ["summarise"]
    assert load("promote", Promote).primary == "summarise.rouge1"


def test_comments_and_what_the_table_does_not_decide_stay(table: Path) -> None:
    before = Path("params.yaml").read_text()
    use(table, "ticket", "summary", None, "summarise")
    after = Path("params.yaml").read_text()
    for line in (
        "  # Rules are Great Expectations' own, by name.",
        "    learning_rate: 1.0e-3",
        "  max_prompt_tokens: 512",
    ):
        assert any(said.startswith(line) for said in before.splitlines())
        assert any(said.startswith(line) for said in after.splitlines())


@pytest.mark.parametrize(
    ("given", "target", "family", "error", "said"),
    [
        ("text", "summary", "summarise", DataError, "has no column 'text'; its columns are: customer, ticket, summary"),
        (
            "ticket",
            "summary",
            "sumarise",
            ParamsError,
            "is no template family; known: choose, note, section, summarise",
        ),
        ("ticket", "summary", "section", ParamsError, "needs .*'dialogue', 'sections'.*: write expand.mixture"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    table: Path, given: str, target: str, family: str, error: type[Exception], said: str
) -> None:
    before = Path("params.yaml").read_text()
    with pytest.raises(error, match=said):
        use(table, given, target, None, family)
    assert Path("params.yaml").read_text() == before


def test_a_file_that_is_not_there_is_named(table: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.csv is not there"):
        use(Path("nowhere.csv"), "a", "b", None, "summarise")
