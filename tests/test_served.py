"""The model as it is delivered: every byte checked, no pickle, the base kept once, and answers that can be streamed."""

import importlib.util
import os
import pickle
import py_compile
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import transformers

from tasks import register, serve
from tasks.data import sealed, signing
from tasks.data.files import read_json, write_json
from tasks.data.pickled import refuse_pickles
from tasks.data.shipped import DATA, SHIPPED
from tasks.errors import ContractError, SealError, TrackingError
from tasks.model import stream
from tasks.model.encode import contract_of, encode_prompt
from tasks.model.generate import generate
from tasks.model.served import BASE, Served
from tasks.prompts import contract
from tasks.tracking import models, registry, server
from tests import toys
from tests.trained import write_project, write_scores

ASKED = [
    {"family": "summarise", "document": "Police look for witnesses."},
    {"prompt": "Say something."},
    {"family": "section", "dialogue": "Where does it hurt?"},
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registered project; tests of this module share it and leave it as it was."""
    root = tmp_path_factory.mktemp("project")
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_project(root)
        register.main()
    return root


@pytest.fixture(autouse=True)
def _inside(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    for name in ("MLFLOW_TRACKING_URI", "LUTHIER_TRUSTED_KEYS", "LUTHIER_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)


def _version() -> registry.Version:
    found = registry.get_version("luthier", "challenger")
    assert found is not None
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what MLflow gives the loader, with the logged model around it."""
    logged = models.logged_folder(models.model_folder(_version(), tmp_path))
    shutil.copytree(logged, tmp_path / "logged", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "logged" / DATA


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _sealed_anew(folder: Path) -> None:
    """As somebody would who changed it on purpose."""
    sealed.seal(folder, read_json(folder / sealed.MANIFEST)["about"])


# --- checked on load


def test_the_folder_of_a_version_is_read_where_it_is(project: Path, tmp_path: Path) -> None:
    found = models.model_folder(_version(), tmp_path)
    assert found.is_relative_to(project / "mlruns")
    assert not any(tmp_path.iterdir())


def test_a_delivered_model_answers_records_and_prompts_like_the_weights_it_was_made_of(
    project: Path, folder: Path
) -> None:
    given = Served(folder, project / "models/base")
    assert serve.load(folder).answer(ASKED) == given.answer(ASKED)


@pytest.mark.parametrize("name", ["tuned/adapter_model.safetensors", "constants.json", BASE, "tuned/tokenizer.json"])
def test_a_flipped_bit_is_named(folder: Path, name: str) -> None:
    _flip(folder / name)
    with pytest.raises(SealError, match=f"{name} has other bytes"):
        serve.load(folder)


def test_a_flipped_bit_in_the_base_model_is_named(folder: Path) -> None:
    base = models.base_folder(read_json(folder / BASE)["uri"])
    assert base is not None
    before = (base / "model.safetensors").read_bytes()
    _flip(base / "model.safetensors")
    with pytest.raises(SealError, match=r"base model models:/m-\w+ .* model.safetensors has other bytes"):
        serve.load(folder)
    (base / "model.safetensors").write_bytes(before)
    serve.load(folder)


def test_only_trusted_keys_count_and_that_none_are_named_is_said_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    serve._say_unpinned.cache_clear()
    serve.load(folder)
    serve.load(folder)
    assert capsys.readouterr().err.count("LUTHIER_TRUSTED_KEYS is not set") == 1
    serve._say_unpinned.cache_clear()
    monkeypatch.setenv("LUTHIER_TRUSTED_KEYS", "0" * 64)
    with pytest.raises(SealError, match="which is not known here"):
        serve.load(folder)
    (maker,) = signing.known_keys() - {"0" * 64}
    monkeypatch.setenv("LUTHIER_TRUSTED_KEYS", f"{'0' * 64}, {maker.upper()}")
    serve.load(folder)
    assert "LUTHIER_TRUSTED_KEYS" not in capsys.readouterr().err


def _other_template(folder: Path) -> None:
    (folder / "tuned/chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }}!{% endfor %}")


def _other_tokenizer(folder: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "tuned")
    tokenizer.add_tokens(["<pause>"])
    tokenizer.save_pretrained(folder / "tuned")


def _other_limits(folder: Path) -> None:
    write_json(folder / "tuned" / contract.NAME, read_json(folder / "tuned" / contract.NAME) | {"max_prompt_tokens": 9})


FOREIGN: list[tuple[Callable[[Path], None], str]] = [
    (_other_template, "format: trained with plain, now chat"),
    (_other_tokenizer, r"vocabulary: trained with \d+, now \d+"),
    (_other_limits, "another prompt contract than it was registered with"),
]


@pytest.mark.parametrize(("change", "told"), FOREIGN, ids=["chat template", "tokenizer", "limits"])
def test_a_foreign_contract_is_refused_even_if_it_is_sealed(
    folder: Path, change: Callable[[Path], None], told: str
) -> None:
    change(folder)
    _sealed_anew(folder)
    with pytest.raises(ContractError, match=told):
        serve.load(folder)


def test_the_base_model_s_own_generation_settings_do_not_count(folder: Path) -> None:
    assert serve.load(folder).model.generation_config.to_diff_dict().keys() <= {"transformers_version"}


# --- the code shipped with it


def _add(text: str) -> Callable[[Path], object]:
    return lambda file: file.write_text(file.read_text() + text)


def _poisoned(logged: Path) -> None:
    """Code that Python would run in place of its source: the source's time and size are what it looks at."""
    source = logged / "code/tasks/memory.py"
    other = logged / "other.py"
    other.write_text("print('another')")
    compiled = Path(importlib.util.cache_from_source(str(source)))
    py_compile.compile(str(source), str(compiled))
    header = compiled.read_bytes()[:16]
    py_compile.compile(str(other), str(compiled))
    compiled.write_bytes(header + compiled.read_bytes()[16:])
    other.unlink()


CODE: list[tuple[str, Callable[[Path], object], str]] = [
    ("a line more", lambda at: _add("\n")(at / "code/tasks/model/answer.py"), "code/tasks/model/answer.py has other bytes"),
    ("a package's file", lambda at: _add("\n")(at / "code/tasks/__init__.py"), "code/tasks/__init__.py has other bytes"),
    ("a template", lambda at: _add(" ")(at / "code/tasks/prompts/library/note.yaml"), "library/note.yaml has other bytes"),
    ("a missing file", lambda at: (at / "code/tasks/errors.py").unlink(), "code/tasks/errors.py is missing"),
    ("a module more", lambda at: (at / "code/torch.py").write_text(""), "code/torch.py does not belong"),
    ("a linked package", lambda at: (at / "code/numpy").symlink_to("/opt"), "code/numpy is a symbolic link"),
    ("compiled code", _poisoned, r"code/tasks/__pycache__/memory\.\S+\.pyc does not belong"),
    ("another loader", lambda at: _other(at / "MLmodel", "tasks.serve", "tasks.evil"), "MLmodel does not say"),
    ("other code", lambda at: _other(at / "MLmodel", "code: code", "code: data"), "MLmodel does not say"),
    ("no MLmodel", lambda at: (at / "MLmodel").unlink(), "MLmodel is missing"),
    ("a package to install", lambda at: _add("\nevil")(at / "requirements.txt"), "requirements.txt asks for other"),
    ("one for conda", lambda at: _other(at / "conda.yaml", "torch==", "torch-evil=="), "conda.yaml asks for other"),
    ("one for virtualenv", lambda at: _add("\n- evil")(at / "python_env.yaml"), "python_env.yaml asks for other"),
]  # fmt: skip


def _other(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


@pytest.mark.parametrize(("change", "told"), [c[1:] for c in CODE], ids=[c[0] for c in CODE])
def test_changed_code_is_named_before_the_model_is_loaded(
    folder: Path, change: Callable[[Path], object], told: str
) -> None:
    change(models.logged_folder(folder))
    with pytest.raises(SealError, match=rf"the code shipped with the model in .* is not what was signed: .*{told}"):
        serve.load(folder)


def test_what_python_compiles_beside_the_code_is_no_change(folder: Path) -> None:
    code = models.logged_folder(folder) / "code"
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(code)], check=True)
    assert list(code.rglob("*.pyc"))
    serve.load(folder)


@pytest.mark.long
def test_a_model_that_mlflow_loads_with_its_own_code_refuses_it_changed(folder: Path, tmp_path: Path) -> None:
    logged = models.logged_folder(folder)
    load = "import mlflow, sys; mlflow.pyfunc.load_model(sys.argv[1])"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["MLFLOW_TRACKING_URI"] = server.address()

    def loaded() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-c", load, str(logged)],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    whole = loaded()
    assert whole.returncode == 0, whole.stderr
    assert list((logged / "code").rglob("*.pyc"))  # it ran the shipped code
    _add("\n")(logged / "code/tasks/model/answer.py")
    changed = loaded()
    assert changed.returncode
    assert "code/tasks/model/answer.py has other bytes" in changed.stderr


def test_a_model_registered_before_its_code_was_signed_is_loaded_and_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about = read_json(folder / sealed.MANIFEST)["about"]
    sealed.seal(folder, {key: value for key, value in about.items() if key != SHIPPED})
    serve._say_older.cache_clear()
    assert serve.load(folder).answer(ASKED)
    assert "registered before its code was signed" in capsys.readouterr().err


def test_a_link_is_not_sealed(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights.safetensors").symlink_to("/etc/hostname")
    with pytest.raises(SealError, match=r"weights\.safetensors, a symbolic link"):
        sealed.seal(tmp_path / "model", {})


# --- no pickle


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, sprung: str) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (self.sprung, "w")


@pytest.mark.parametrize(
    "where", ["tuned/adapter_model.bin", "tuned/notes", "base/pytorch_model.bin", "tuned/optimizer.pt"]
)
def test_a_real_pickle_beside_the_weights_is_not_registered(project: Path, tmp_path: Path, where: str) -> None:
    file = project / "models" / where
    if file.suffix == ".pt":
        torch.save({"step": 1}, file)
    else:
        file.write_bytes(pickle.dumps(Trap(str(tmp_path / "sprung"))))
    try:
        write_scores(project, 0.3, 0.58)
        before = len(server.client().search_logged_models([server.experiment()]))
        with pytest.raises(SealError, match=rf"models/{where.partition('/')[0]}, .* holds {file.name}, a pickle"):
            register.main()
        assert len(server.client().search_logged_models([server.experiment()])) == before
    finally:
        file.unlink()
        write_scores(project, 0.3, 0.6)
    assert not (tmp_path / "sprung").exists()


def test_a_pickle_that_was_sealed_in_is_not_loaded(folder: Path, tmp_path: Path) -> None:
    (folder / "tuned/adapter_model.bin").write_bytes(pickle.dumps(Trap(str(tmp_path / "sprung"))))
    _sealed_anew(folder)
    with pytest.raises(SealError, match=r"tuned/adapter_model\.bin, a pickle"):
        serve.load(folder)
    assert not (tmp_path / "sprung").exists()


def test_safetensors_are_no_pickles_whatever_the_length_of_their_header(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes((0x0280).to_bytes(8, "little") + b"{}".ljust(0x280))
    refuse_pickles(tmp_path, "it")
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps([1]))
    with pytest.raises(SealError, match=r"holds model\.safetensors"):
        refuse_pickles(tmp_path, "it")


def test_what_is_logged_in_mlflow_holds_no_pickle_at_all(project: Path) -> None:
    stored = list(project.glob("mlruns/**/m-*/artifacts"))
    assert len(stored) >= 2  # the model and its base
    for logged in stored:
        refuse_pickles(logged, "it")


# --- the base model, once


def _bytes_of(root: Path) -> int:
    """What a folder takes on the disk: a file that several names share counts once."""
    found: dict[int, int] = {}
    for folder, _, files in os.walk(root):
        for file in files:
            try:
                status = Path(folder, file).stat()
            except FileNotFoundError:
                continue
            found[status.st_ino] = status.st_size
    return sum(found.values())


@contextmanager
def _peak(root: Path) -> Iterator[list[int]]:
    """The most bytes below a folder, looked at all the time."""
    seen, over = [_bytes_of(root)], threading.Event()

    def watch() -> None:
        while not over.wait(0.005):
            seen[0] = max(seen[0], _bytes_of(root))

    thread = threading.Thread(target=watch)
    thread.start()
    yield seen
    over.set()
    thread.join()


BIG = 48 << 20


@pytest.fixture
def heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose base model is big, with its temporary files beside it."""
    root = tmp_path / "heavy"
    (root / "tmp").mkdir(parents=True)
    monkeypatch.chdir(root)
    monkeypatch.setattr("tempfile.tempdir", str(root / "tmp"))
    write_project(root)
    (root / "models/base/more.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}" + os.urandom(BIG))
    return root


def test_three_versions_on_one_base_keep_its_bytes_once_and_never_copy_them_twice(heavy: Path) -> None:
    before = _bytes_of(heavy)
    with _peak(heavy) as peak:
        for number in range(3):
            (heavy / "models/tuned/README.md").write_text(f"training {number}")  # another digest of the folder
            write_scores(heavy, 0.3, 0.6 + number / 100)
            register.main()
    assert _version().number == 3
    assert len(list(heavy.glob("mlruns/**/more.safetensors"))) == 1
    assert peak[0] - before < 1.5 * BIG
    kept = next(heavy.glob("mlruns/**/more.safetensors"))
    assert kept.stat().st_nlink == 1  # a changed workspace cannot change the store


def test_full_weights_are_copied_once_into_the_store(heavy: Path) -> None:
    for file in (heavy / "models/base").iterdir():
        shutil.copyfile(file, heavy / "models/tuned" / file.name)
    for file in (heavy / "models/tuned").glob("adapter*"):
        file.unlink()
    write_scores(heavy, 0.3, 0.6)
    before = _bytes_of(heavy)
    with _peak(heavy) as peak:
        register.main()
    (kept,) = heavy.glob("mlruns/**/more.safetensors")
    assert kept.parent.name == "tuned"
    assert kept.stat().st_nlink == 1
    assert peak[0] - before < 1.5 * BIG
    assert serve.load(models.model_folder(_version(), heavy)).answer(ASKED)


def test_a_base_that_was_lost_from_the_store_is_kept_anew(heavy: Path) -> None:
    register.main()
    (kept,) = heavy.glob("mlruns/**/more.safetensors")
    shutil.rmtree(kept.parent)
    folder = models.model_folder(_version(), heavy)
    with pytest.raises(TrackingError, match=r"base model models:/m-\w+ is not at .* any more: restore it there"):
        serve.load(folder)
    (heavy / "models/tuned/README.md").write_text("trained again")
    write_scores(heavy, 0.3, 0.65)
    register.main()
    serve.load(models.model_folder(_version(), heavy))


def test_a_model_that_is_gone_from_the_store_is_told_in_a_sentence(heavy: Path) -> None:
    register.main()
    shutil.rmtree(models.model_folder(_version(), heavy))
    with pytest.raises(TrackingError, match=r"the model of models:/luthier/1 is not at .* any more: restore it there"):
        models.model_folder(_version(), heavy)


# --- streamed


def test_streamed_pieces_are_together_what_predict_answers(folder: Path) -> None:
    model = serve.load(folder)
    for record, answer in zip(ASKED, model.answer(ASKED), strict=True):
        pieces = list(model.predict_stream(record))
        assert "".join(pieces) == answer
        assert not answer or len(pieces) > 1


def _without_slots(_seed: int) -> transformers.PreTrainedModel:
    torch.manual_seed(_seed)
    config = transformers.BloomConfig(vocab_size=len(toys.tokenizer("causal")), hidden_size=32, n_layer=2, n_head=4)
    return transformers.BloomForCausalLM(config).eval()


KINDS: list[tuple[str, Callable[[int], transformers.PreTrainedModel]]] = [
    ("causal", lambda seed: toys.model("causal", seed)),
    ("seq2seq", lambda seed: toys.model("seq2seq", seed)),
    ("causal", _without_slots),
]


@pytest.mark.parametrize(("kind", "make"), KINDS, ids=["llama", "t5", "bloom, which slots do not suit"])
def test_a_stream_is_the_answer_that_generate_gives(
    kind: str, make: Callable[[int], transformers.PreTrainedModel]
) -> None:
    for seed in range(3):
        model, tokenizer = make(seed), toys.tokenizer(kind)
        how = contract_of(tokenizer, kind, 200, {"summarise": 24})  # type: ignore[arg-type]
        for text in ("Ein Haus & für zwölf.", "The police look for witnesses.", "日本"):
            prompt = encode_prompt(tokenizer, text, how)
            (answer,) = generate(model, tokenizer, [prompt], [24], how, 8)
            assert "".join(stream.stream(model, tokenizer, prompt, 24, how, threading.Lock())) == answer.text


class Spelt:
    """A tokenizer of which every token is a few bytes."""

    def __init__(self, *tokens: bytes, tidy: bool = False) -> None:
        self.tokens, self.clean_up_tokenization_spaces = tokens, tidy

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        text = b"".join(self.tokens[at] for at in ids).decode(errors="replace")
        return text.replace(" n't", "n't") if self.clean_up_tokenization_spaces else text


SPELT = [
    (Spelt("é".encode()[:1], "é".encode()[1:], b"t\xc3\xa9"), ["é", "té"]),
    (Spelt(b"  A", b" ", b"bridge", b" \n"), ["A", " bridge"]),
    (Spelt(b"I do", b" n", b"'t", b" know", tidy=True), ["I", " do", "n't", " know"]),
    (Spelt(b"\xff", b"a"), ["\ufffda"]),
]


@pytest.mark.parametrize(("tokenizer", "pieces"), SPELT, ids=["half characters", "spaces", "tidied", "broken bytes"])
def test_a_piece_is_never_taken_back(tokenizer: Spelt, pieces: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_tokens", lambda *_: iter(range(len(tokenizer.tokens))))
    assert list(stream.stream(None, tokenizer, [], 9, None, threading.Lock())) == pieces  # type: ignore[arg-type]


def test_a_reader_who_stops_early_leaves_nothing_running_and_others_are_answered(folder: Path) -> None:
    model = serve.load(folder)
    expected = model.answer(ASKED)
    threads = threading.active_count()
    half_read = model.predict_stream(ASKED[0])
    next(half_read)
    assert model.answer(ASKED) == expected  # while it waits
    assert threading.active_count() == threads
    rest = "".join(half_read)
    assert expected[0].endswith(rest)


def test_threads_that_share_a_model_get_the_answers_that_they_would_have_had_alone(folder: Path) -> None:
    model = serve.load(folder)
    expected, found = model.answer(ASKED), []

    def ask(at: int) -> None:
        found.append("".join(model.predict_stream(ASKED[at % 3])) == expected[at % 3])
        found.append(model.answer(ASKED) == expected)

    several = [threading.Thread(target=ask, args=(at,)) for at in range(6)]
    for thread in several:
        thread.start()
    for thread in several:
        thread.join()
    assert found == [True] * 12


def test_mlflow_streams_it_and_says_in_a_sentence_what_a_record_lacks() -> None:
    import mlflow  # noqa: PLC0415

    mlflow.set_tracking_uri(server.address())
    try:
        model = mlflow.pyfunc.load_model(_version().uri)
        assert "".join(model.predict_stream(ASKED[0])) == model.predict([ASKED[0]])["output"][0]
        for ask in (model.predict, lambda records: list(model.predict_stream(records[0]))):
            with pytest.raises(mlflow.MlflowException, match=r"family 'section' needs \['dialogue'\]"):
                ask([{"family": "section"}])
    finally:
        mlflow.set_tracking_uri(None)
        os.environ.pop("MLFLOW_TRACKING_URI", None)
