"""The laws of the house: what DESIGN says is held by a test, not by a habit."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tasks.data.splits import SPLITS
from tasks.prompts.templates import LIBRARY, load_family, render

ROOT = Path(__file__).resolve().parent.parent
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
WHERE = "launch"  # the one section of no step: it says where stages are done, and no stage depends on it
NOT_STAGES = ["register", "promote"]  # they change a registry, which DVC must not replay
MODULES = {path: path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "tasks").rglob("*.py"))}


def file_of(module: str) -> str | None:
    """The file of a module inside tasks/, or None."""
    path = ROOT / module.replace(".", "/")
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate in MODULES:
            return MODULES[candidate]
    return None


def imports_of(file: str) -> set[str]:
    """Names that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def packages_above(module: str) -> set[str]:
    """`a.b.c` -> {a, a.b, a.b.c}: importing a module runs every package above it."""
    parts = module.split(".")
    return {".".join(parts[: end + 1]) for end in range(len(parts))}


def files_behind(file: str) -> set[str]:
    """A file of tasks/ and all files of tasks/ that it imports, directly or not."""
    found: set[str] = set()
    waiting = [file]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found.add(current)
        above = {
            name for module in imports_of(current) if module.startswith("tasks") for name in packages_above(module)
        }
        above |= packages_above(current.removesuffix(".py").replace("/", "."))
        waiting += [path for name in above if (path := file_of(name))]
    return found


def test_stages_params_modules_and_dag_tasks_have_the_same_names_in_the_same_order() -> None:
    steps = [*STAGES, *NOT_STAGES]
    assert list(PARAMS) == [*steps, WHERE]
    assert all(file_of(f"tasks.{step}") for step in steps)
    dag = (ROOT / "dags/finetune_pipeline.py").read_text()
    assert re.findall(r"(?:stage|command)\(\"(\w+)\"", dag.split("chain(", 1)[1]) == steps[:-1]
    docs = ast.get_docstring(ast.parse((ROOT / "tasks/__init__.py").read_text())) or ""
    assert re.findall(r"^\d\. `(\w+)`", docs, re.MULTILINE) == steps


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_its_params_section_and_no_other(stage: str) -> None:
    assert STAGES[stage].get("params") == [stage]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_exactly_the_code_that_it_runs(stage: str) -> None:
    declared = {path for path in STAGES[stage]["deps"] if path.startswith("tasks/") and path.endswith(".py")}
    behind = {path for path in files_behind(f"tasks/{stage}.py") if (ROOT / path).read_text().strip()}
    assert sorted(declared) == sorted(behind), "dvc.yaml: write these deps:\n" + "\n".join(
        f"      - {p}" for p in sorted(behind)
    )


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_reads_templates_depends_on_the_library(stage: str) -> None:
    reads = "tasks/prompts/templates.py" in STAGES[stage]["deps"]
    assert reads == ("tasks/prompts/library" in STAGES[stage]["deps"])


OF_NO_STAGE = "study"  # a study reads what stages wrote, and is none


def test_every_file_of_data_that_the_code_reads_is_a_dependency_of_a_stage() -> None:
    deps = {dep for stage in STAGES.values() for dep in stage["deps"]}
    data = [path for path in (ROOT / "tasks").rglob("*") if path.suffix in {".yaml", ".j2", ".css", ".json"}]
    assert len(data) > 15
    for path in data:
        if path.name.startswith(OF_NO_STAGE):
            continue
        above = {path, *path.parents}
        assert deps & {parent.relative_to(ROOT).as_posix() for parent in above if parent.is_relative_to(ROOT)}, path


@pytest.mark.parametrize("stage", STAGES)
def test_every_path_in_a_stage_s_command_is_declared_and_the_other_way_round(stage: str) -> None:
    said = set(STAGES[stage]["cmd"].split("-m tasks.")[1].split()[1:])
    entries = [STAGES[stage].get(kind, []) for kind in ("deps", "outs", "metrics", "plots")]
    declared = {next(iter(entry)) if isinstance(entry, dict) else entry for kind in entries for entry in kind}
    data = {path for path in declared if not path.startswith("tasks/")}
    assert all(
        any(word == path or word.startswith(path + "/") or path.startswith(word + "/") for path in data)
        for word in said
    )
    assert all(
        any(word == path or word.startswith(path + "/") or path.startswith(word + "/") for word in said)
        for path in data
    )


ALLOWED = {  # who may import whom inside tasks/, beside errors, params and the like
    "data": {"data"},
    "health": {"data", "health"},
    "chain": {"data", "chain"},
    "runs": {"data", "chain", "runs"},
    "jobs": {"data", "chain", "runs", "jobs"},
    "prompts": {"data", "prompts"},
    "metrics": {"data", "metrics"},
    "model": {"data", "prompts", "model"},
    "report": {"data", "metrics", "report"},
    "tracking": {"data", "tracking"},
}
SHARED = {"errors", "memory", "params", "step", "progress", "orphan", "locks", "devices", "nodes"}


@pytest.mark.parametrize("folder", ALLOWED)
def test_import_arrows_only_go_down(folder: str) -> None:
    for file in MODULES.values():
        if not file.startswith(f"tasks/{folder}/"):
            continue
        inside = {name.split(".")[1] for name in imports_of(file) if name.startswith("tasks.")}
        assert inside <= ALLOWED[folder] | SHARED, file


@pytest.mark.parametrize(
    ("library", "owners"),
    [
        ("airflow", ()),
        ("mlflow", ("tasks/tracking/",)),
        ("great_expectations", ("tasks/data/judge/expectations.py",)),
        ("torch", ("tasks/model/", "tasks/finetune.py", "tasks/predict.py")),
        ("transformers", ("tasks/model/",)),
        ("fsspec", ("tasks/data/sources.py",)),
        ("kubernetes", ("tasks/jobs/kubernetes",)),
        ("botocore", ("tasks/jobs/sagemaker.py",)),
    ],
)
def test_each_outside_system_has_one_owner(library: str, owners: tuple[str, ...]) -> None:
    for file in MODULES.values():
        roots = {name.split(".")[0] for name in imports_of(file)}
        assert library not in roots or file.startswith(owners or ("none",)), file


def test_dags_and_tasks_meet_at_a_command_line_and_never_at_an_import() -> None:
    for path in (ROOT / "dags").glob("*.py"):
        roots = {name.split(".")[0] for name in imports_of(str(path.relative_to(ROOT)))}
        assert roots.isdisjoint({"tasks", "pandas", "torch", "mlflow", "transformers"}), path.name


@pytest.mark.parametrize("name", sorted(path.stem for path in LIBRARY.glob("*.yaml")))
def test_every_template_renders_leaves_no_brace_and_never_shows_its_target(name: str) -> None:
    family = load_family(name)
    assert family.family == name
    assert len({template.id for template in family.templates}) == len(family.templates) >= 8
    assert family.target not in family.fields
    values = {field: f"<<{field} text>>" for field in [*family.fields, family.target]}
    for template in family.templates:
        text = render(template.text, values)
        assert all(f"<<{field} text>>" in text for field in family.fields), template.id
        assert f"<<{family.target} text>>" not in text, template.id
        assert "{" not in text and "}" not in text, template.id


def test_no_module_is_long_and_no_function_either() -> None:
    for file in MODULES.values():
        text = (ROOT / file).read_text()
        assert text.count("\n") <= 220, file
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno and node.end_lineno - node.lineno < 60, f"{file}: {node.name}"


def commands_in(readme: str) -> list[str]:
    """Lines of the README's shell blocks that start one of our own commands."""
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", readme, re.DOTALL)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [
        line.split("#")[0].strip() for line in lines if line.startswith(("make ", "luthier ", "dvc ", "python -m "))
    ]


def test_every_command_in_the_readme_exists() -> None:
    commands = commands_in((ROOT / "README.md").read_text())
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    known = subprocess.run(
        [sys.executable, "-m", "tasks.cli", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert any(line.startswith("make demo") for line in commands)
    for line in commands:
        words = line.split()
        if words[0] == "make":
            assert words[1] in targets, line
        elif words[0] == "luthier":
            assert re.search(rf"\b{words[1]}\b", known), line
        elif words[0] == "python":
            assert file_of(words[2]), line


def test_the_splits_are_named_as_everywhere() -> None:
    assert tuple(PARAMS["expand"]["split"]) == SPLITS
