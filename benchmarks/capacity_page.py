"""docs/capacity.md from docs/capacity.json: what it costs, on what assumptions, what breaks first, how sure that is."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.capacity_fit import NOISE
from benchmarks.capacity_growth import growth
from benchmarks.capacity_limits import GPU_TOKENS_S, clock, limits, rounded
from benchmarks.capacity_plot import drawing
from benchmarks.capacity_tables import (
    TASK_S,
    TASKS,
    TIMES,
    Lines,
    Row,
    costs,
    disk,
    fits,
    memory,
    models,
    table,
    tried,
    workers,
)
from tasks.data.files import read_json

COMMAND = "python -m benchmarks.capacity"


def write_page(figures: Path) -> None:
    """Write the page and its drawing beside the measurements."""
    told = read_json(figures)
    lines = growth(told["rows"])
    figures.with_suffix(".md").write_text(page(told["machine"], told["rows"], lines))
    drawn = drawing({stage: line for (stage, key), line in lines.items() if key == "cpu_s"})
    figures.with_suffix(".svg").write_text(drawn)


def page(machine: Mapping[str, str], rows: Sequence[Row], lines: Lines) -> str:
    """The whole page, as Markdown."""
    parts = [
        head(machine, rows, lines), short(lines, rows),
        "## What will it cost me\n", costs(lines), memory(lines, rows), disk(lines),
        "![CPU time by stage](capacity.svg)\n",
        "Dots: measurements, at the level of the whole default; lines: the fits; bands: 95 % intervals.\n",
        "## On these assumptions\n", assumptions(rows, lines),
        "## What breaks first\n", breaks(lines, rows),
        "## When the model grows\n", models(rows, lines),
        "## Two pipelines at once\n", workers(rows),
        "## How well it predicts\n", tried(lines),
        "## The fits\n", fits(lines),
        f"Made by `{COMMAND}`; from the same measurements again by `{COMMAND} --render`. The measurements, with the "
        "commit of each (+: with changes not committed yet): [capacity.json](capacity.json).\n",
        machine.get("note", ""),
    ]  # fmt: skip
    return "\n".join(parts)


def head(machine: Mapping[str, str], rows: Sequence[Row], lines: Lines) -> str:
    """What this is, where and when it was measured."""
    sizes = {line.unit: line.default_size for line in lines.values()}
    default = ", ".join(f"{size:,.0f} {unit}" for unit, size in sizes.items())
    loads = [row["load"] for row in rows if "load" in row]
    return (
        "# What Luthier costs as it grows\n\n"
        f"The default is {default}. This page says what each stage takes for that, and for 10, 100 and 1,000 times as "
        "much data.\n\n"
        f"Measured on {machine['date']}: {machine['cores']} cores ({machine['cpu']}), {machine['memory_gb']} GB, no "
        f"GPU; {machine['versions']}. The machine had other work (a load of {min(loads):.0f} to {max(loads):.0f}), so "
        f"times are CPU seconds of all processes of a stage, DVC's included. finetune and predict use two cores at "
        "once, the others about one.\n"
    )


def short(lines: Lines, rows: Sequence[Row]) -> str:
    """All of it in a few words."""
    sums = {times: sum(line.at(times)[0] for (_, key), line in lines.items() if key == "cpu_s") for times in TIMES}
    peaks = {row["stage"]: row["peak_mb"] / 1e3 for row in rows if row["part"] == "shares"}
    peaks |= {stage: line.at(10)[0] / 1e3 for (stage, key), line in lines.items() if key == "peak_mb"}
    share = lines["finetune", "cpu_s"].at(1000)[0] / sums[1000]
    most = max(peaks, key=lambda stage: peaks[stage])
    over = [limit for limit in limits(lines, rows) if not math.isnan(limit.times)]
    first = f" First to break, at {rounded(over[0].times)} times: {over[0].what.partition(': ')[2]}." if over else ""
    return (
        f"**In short.** Ten times the default takes {clock(sums[10])} of CPU and {peaks[most]:.1f} GB, for {most}. "
        f"A thousand times takes {clock(sums[1000])}, {share:.0%} of it finetune, which a GPU does in "
        f"{clock(1000 * lines['finetune', 'cpu_s'].default_size / GPU_TOKENS_S)}.{first}\n"
    )


def assumptions(rows: Sequence[Row], lines: Lines) -> str:
    """What has to hold, line by line."""
    raw = [row for row in rows if row["part"] == "records" and "raw_mb" in row]
    each = f"{1e6 * raw[-1]['raw_mb'] / raw[-1]['size']:,.0f} bytes" if raw else "as long as the default's articles"
    reach = {line.unit: max(line.points)[0] / line.default_size for line in lines.values()}
    said = [
        "Everything grows by the same factor: records, training examples, held-out examples. The questions of the "
        "general suites do not.",
        "Measured up to " + ", ".join(f"{times:.2g} times the default's {unit}" for unit, times in reach.items())
        + ". What lies beyond is drawn out, and its interval knows of no swapping, no slower disk, no longer record.",
        f"**fetch, validate, expand**: a record is a news article of {each}, under the default's rules for articles.",
        "**finetune**: one epoch by adapter, fp32, not compiled; every token costs the same. Memory is the model's and "
        "the longest step's (`luthier estimate` tells it before); rows of examples come on top. Of the CPU time a part "
        "is two threads waiting for cores that others use: alone, the README's 336 tokens/s are 6.0 s for 1,000.",
        "**predict**: both models answer, on a CPU. How its memory grows is a toy model's.",
        "**evaluate**: 10,000 resamples, all metrics of `summarise`; answers of a toy model.",
        f"**An H100** reads {GPU_TOKENS_S:,} tokens/s: the README's figure of a Llama of 1 B under adapters, packed "
        "and compiled; a smaller model reads no fewer. About a minute of starting and compiling comes on top.",
        f"**Airflow** takes {TASK_S} s a task, whatever its size: the README's 34 s of a run with nothing new, in "
        f"{TASKS} tasks.",
        f"Two runs of one stage differ by {NOISE:.0%} at least: no interval is narrower.",
    ]  # fmt: skip
    return "\n".join(f"- {one}" for one in said) + "\n"


def breaks(lines: Lines, rows: Sequence[Row]) -> str:
    """First things first."""
    told = []
    for one in limits(lines, rows):
        at = "not by the data" if math.isnan(one.times) else f"{rounded(one.times)} times"
        told.append([at, one.what, one.size, one.known, one.then])
    return table(["at", "what", "that is", "how it is known", "what then"], told)
