"""`luthier use`: params.yaml for a table of one's own, which every step then accepts, and the bytes under DVC."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tasks.errors import DataError, LuthierError, ParamsError
from tasks.evaluate import Evaluate
from tasks.expand import Expand
from tasks.fetch import Fetch
from tasks.finetune import Finetune
from tasks.params import load
from tasks.promote import Promote
from tasks.use import Choice, track, use
from tasks.validate import Validate

ROOT = Path(__file__).resolve().parent.parent
ROWS = [
    ["customer", "ticket", "summary"],
    ["7", 'It is, "broken".', "Broken."],
    ["8", "Where is it? I cannot see it.", "Lost."],
]


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table in a checkout of its own, under git and DVC."""
    monkeypatch.chdir(tmp_path)
    for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
        subprocess.run(command, check=True)
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    return write_table(Path("tickets.csv"))


def write_table(path: Path) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(ROWS)
    return path


def test_every_section_is_accepted_and_speaks_of_the_table(table: Path) -> None:
    said = use(table, Choice("ticket", "summary", "customer", None))
    assert said.startswith("params.yaml now uses tickets.csv: 2 rows, 'ticket' -> 'summary' as summarise")
    source = load("fetch", Fetch).sources["mine"]
    assert (source.url, len(source.sha256), source.licence) == ("tickets.csv", 64, None)
    validate = load("validate", Validate)
    assert validate.sources["mine"].columns == ["ticket", "summary", "customer"]
    assert {facet.source for facet in validate.bias.facets} == {"mine"}
    expand = load("expand", Expand)
    assert expand.sources["mine"].model_dump() == {"group": "customer", "text": "ticket", "given_split": None}
    mine, replayed = expand.mixture
    assert (mine.family, mine.fields, mine.replay) == ("summarise", {"document": "ticket", "summary": "summary"}, False)
    assert mine.max_words.model_dump() == {"input": 7, "target": 2}
    assert (replayed.source, replayed.replay, replayed.take.train) == ("commonsense_qa", True, None)
    assert (
        list(load("finetune", Finetune).max_new_tokens)
        == list(load("evaluate", Evaluate).metrics)
        == ["summarise", "choose"]
    )
    assert load("promote", Promote).primary == "summarise.rouge1"
    for section in ("fetch", "validate", "expand"):
        assert list(yaml.safe_load(Path("params.yaml").read_text())[section]["sources"]) == ["mine", "commonsense_qa"]


def test_guards_watch_the_table_s_own_family(table: Path) -> None:
    use(table, Choice("ticket", "summary", "customer", "summarise_dialogue"))
    guards = load("promote", Promote).guards
    own = [name for name in guards if name.startswith("summarise_dialogue")]
    assert own == [
        "summarise_dialogue.unsupported", "summarise_dialogue_held_out_wording.rouge1", "summarise_dialogue.empty",
    ]  # fmt: skip
    assert [*guards][3:] == ["crows_pairs_0shot.off_balance", "outputs_harm.toxic"]
    assert load("promote", Promote).floors == {}
    metrics = load("evaluate", Evaluate).metrics
    assert all(name.partition(".")[2] in metrics["summarise_dialogue"] for name in own)


def test_what_the_table_does_not_decide_is_not_even_written_differently(table: Path) -> None:
    before = Path("params.yaml").read_text().splitlines()
    use(table, Choice("ticket", "summary", None, None))
    after = Path("params.yaml").read_text().splitlines()
    kept = [line for line in before if line in after]
    for part in (
        "    commonsense_qa:  ",
        "        - {rule: expect_column_values_to_match_regex, column: options",
        "    revision: null",
    ):
        assert any(line.startswith(part) for line in kept), part
    added = [line for line in after if line not in before]
    assert len(added) < 30
    assert "    mine: {group: null, text: ticket, given_split: null}" in added


def test_a_table_may_be_used_again_and_another_one_after_it(table: Path) -> None:
    use(table, Choice("ticket", "summary", None, None))
    once = Path("params.yaml").read_text()
    use(table, Choice("ticket", "summary", None, None))
    assert Path("params.yaml").read_text() == once
    use(write_table(Path("more.csv")), Choice("ticket", "summary", None, None))
    assert load("fetch", Fetch).sources["mine"].url == "more.csv"


@pytest.mark.parametrize(
    ("column", "family"),
    [("dialogue", "summarise_dialogue"), ("Chat log", "summarise_dialogue"), ("text", "summarise")],
)
def test_the_family_is_guessed_from_the_input_column_s_name_unless_said(column: str, family: str) -> None:
    assert Choice(column, "summary", None, None).family_name == family
    assert Choice(column, "summary", None, "title").family_name == "title"


def test_a_table_in_the_checkout_is_tracked_where_it_is_and_one_from_elsewhere_in_tables(
    table: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert track(table) == table
    assert Path("tickets.csv.dvc").is_file()
    elsewhere = write_table(tmp_path_factory.mktemp("elsewhere") / "far.csv")
    path = track(elsewhere)
    assert path == Path("tables/far.csv")
    assert path.read_bytes() == elsewhere.read_bytes()
    assert Path("tables/far.csv.dvc").is_file()
    elsewhere.write_text("customer,ticket,summary\n1,a newer,one\n")
    assert track(elsewhere).read_bytes() == elsewhere.read_bytes()
    tracked = subprocess.run(
        ["git", "check-ignore", "tables/far.csv", "tickets.csv"], capture_output=True, text=True, check=False
    )
    assert tracked.stdout.split() == ["tables/far.csv", "tickets.csv"]


def test_a_table_that_git_tracks_is_left_to_git(table: Path) -> None:
    subprocess.run(["git", "add", table], check=True)
    assert track(table) == table
    assert not Path("tickets.csv.dvc").exists()


def test_without_dvc_it_is_one_sentence_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(ROOT / "params.yaml", "params.yaml")
    before = Path("params.yaml").read_text()
    with pytest.raises(
        LuthierError, match=r"^DVC cannot track tickets\.csv: .*you are not inside of a DVC repository"
    ) as error:
        use(write_table(Path("tickets.csv")), Choice("ticket", "summary", None, None))
    assert "\n" not in str(error.value)
    assert Path("params.yaml").read_text() == before


def test_comments_and_what_the_table_does_not_decide_stay(table: Path) -> None:
    before = Path("params.yaml").read_text()
    use(table, Choice("ticket", "summary", None, None))
    after = Path("params.yaml").read_text()
    for line in (
        "  # Rules are Great Expectations' own, by name",
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
            "is no template family",
        ),
        ("ticket", "summary", "section", ParamsError, "needs .*'dialogue', 'sections'.*: write expand.mixture"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    table: Path, given: str, target: str, family: str, error: type[Exception], said: str
) -> None:
    before = Path("params.yaml").read_text()
    with pytest.raises(error, match=said):
        use(table, Choice(given, target, None, family))
    assert Path("params.yaml").read_text() == before


def test_a_file_that_is_not_there_is_named(table: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.csv is not there"):
        use(Path("nowhere.csv"), Choice("a", "b", None, None))
