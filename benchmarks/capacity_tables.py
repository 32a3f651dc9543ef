"""The tables of the capacity page, as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.capacity_fit import power_law
from benchmarks.capacity_growth import RESOURCES, STAGES, Growth, per_unit, series
from benchmarks.capacity_limits import GPU_TOKENS_S, MEMORY_GB, clock

Row = Mapping[str, Any]
Lines = Mapping[tuple[str, str], Growth]
TIMES = (1, 10, 100, 1000)
TITLES = ["the default", *(f"{times:,} times" for times in TIMES[1:])]
TASKS, TASK_S = 7, 5  # README: 34 s for a run of the default with nothing new
README = {"finetune": "2 min 50 s to 3 min 02 s alone, 5 min 45 s beside other work",
          "predict": "7 min 29 s beside other work"}  # fmt: skip
SHOWN = {"cpu_s": "s", "peak_mb": "MB"}


def costs(lines: Lines) -> str:
    """CPU time by stage and multiple of the data, with the sum."""
    rows, sums = [], [0.0] * len(TIMES)
    for stage in STAGES:
        if line := lines.get((stage, "cpu_s")):
            found = [line.at(times) for times in TIMES]
            sums = [total + cost for total, (cost, *_) in zip(sums, found, strict=True)]
            first = clock(line.default) if line.known and line.default else f"about {clock(found[0][0])}"
            said = [f"{clock(cost)} ({clock(low)} to {clock(high)})" for cost, low, high in found[1:]]
            rows.append([stage, first, *said])
    rows.append(["**all stages**", *(f"**{clock(total)}**" for total in sums)])
    if line := lines.get(("finetune", "cpu_s")):
        hours = (clock(times * line.default_size / GPU_TOKENS_S) for times in TIMES)
        rows.append(["finetune on an H100, on a clock", *hours])
    rows.append(["Airflow and git, on a clock", *([clock(TASKS * TASK_S)] * len(TIMES))])
    return table(["CPU time (95 % interval)", *TITLES], rows)


def memory(lines: Lines, rows: Sequence[Row]) -> str:
    """Peak resident memory by stage; where growth was not measured, what the largest training or answering took."""
    told = []
    for stage in STAGES:
        if line := lines.get((stage, "peak_mb")):
            found = [line.at(times) for times in TIMES]
            first = f"{found[0][0] / 1e3:.1f} GB" if line.known else f"about {found[0][0] / 1e3:.1f} GB"
            marks = ["**" if cost > MEMORY_GB * 1e3 else "" for cost, *_ in found]
            said = [
                f"{mark}{cost / 1e3:,.1f} GB{mark} ({low / 1e3:,.1f} to {high / 1e3:,.1f})"
                for mark, (cost, low, high) in zip(marks, found, strict=True)
            ]
            told.append([stage, first, *said[1:]])
        elif shares := series(rows, "shares", stage, "peak_mb"):
            told.append([stage, f"about {shares[-1][1] / 1e3:.1f} GB", *(["growth not measured"] * len(TIMES[1:]))])
    return table([f"peak memory (bold: over {MEMORY_GB} GB)", *TITLES], told)


def disk(lines: Lines) -> str:
    """What DVC keeps of a run, and what is written meanwhile."""
    rows = []
    for key in ("kept_mb", "written_mb"):
        found = [line for (_, name), line in lines.items() if name == key]
        if found:
            sums = [sum(line.at(times)[0] for line in found) / 1e3 for times in TIMES]
            rows.append([RESOURCES[key], *(f"{gb:,.1f} GB" for gb in sums)])
    return table(["bytes, all stages", *TITLES], rows)


def models(rows: Sequence[Row], lines: Lines) -> str:
    """By model: a token trained and memory; and what the power law says of 7 B."""
    if ("finetune", "cpu_s") not in lines:
        return "Not measured.\n"
    trained, told = per_unit(rows, "finetune", lines["finetune", "cpu_s"].fit), []
    for row in trained:
        about = "" if len(row["sizes"]) > 1 else "about "
        sizes = ", ".join(f"{size:,}" for size in row["sizes"])
        told.append([row["model"], f"{row['parameters'] / 1e6:,.0f} M", f"{about}{row['cpu_s']:,.1f} s",
                     f"{row['peak_mb'] / 1e3:,.1f} GB", f"{sizes} tokens"])  # fmt: skip
    text = table(["model", "parameters", "CPU time of 1,000 tokens trained", "peak memory", "measured at"], told)
    if any(len(row["sizes"]) == 1 for row in trained):
        text += "\nAbout: of one size; a token is taken to cost as many times the default's as the whole stage did.\n"
    if len(trained) < 2:
        return text
    factor, power = power_law([(row["parameters"], row["cpu_s"]) for row in trained])
    return text + (
        f"\nCPU time grows as the parameters to the power {power:.2f}. A model of 7 B would take "
        f"{clock(factor * 7e9**power * 1000)} of CPU for a million tokens, and 28 GB for its weights in fp32 alone "
        "(4 bytes each; counted, not run): that is a GPU's work. By adapter, on the default's text; weights are random "
        "but for the default's; the peak is of the longest step among the tokens measured.\n"
    )


def workers(rows: Sequence[Row]) -> str:
    """One pipeline and two at once."""
    told = []
    for stage in STAGES:
        own = [row for row in rows if row["part"] == "workers" and row["stage"] == stage]
        alone, pair = ([row for row in own if row["at_once"] == count] for count in (1, 2))
        if alone and pair:
            before, each = alone[-1]["cpu_s"], sum(row["cpu_s"] for row in pair) / len(pair)
            clocks = (f"{max(row['wall_s'] for row in some):,.0f} s" for some in (alone, pair))
            name = f"{stage}, {alone[-1]['size']:,} records"
            told.append([name, f"{before:,.1f} s", f"{each:,.1f} s", f"{each / before:.2f} times", *clocks])
    if not told:
        return "Not measured.\n"
    heads = ["stage", "CPU, alone", "CPU, each of two at once", "ratio", "clock, alone", "clock, both"]
    return table(heads, told)


def tried(lines: Lines) -> str:
    """The largest size, left out of the fit and predicted by it."""
    told = []
    for (stage, key), line in lines.items():
        if (one := line.tried) and key in SHOWN:
            told.append([
                stage, RESOURCES[key], f"{one.size:,.0f} {line.unit}", value(key, one.predicted),
                value(key, one.measured), f"{one.error:+.0%}", "inside" if one.inside else "**outside**",
            ])  # fmt: skip
    missed = sum("**" in row[-1] for row in told)
    heads = ["stage", "of", "largest size, left out", "predicted", "measured", "error", "its interval"]
    text = table(heads, told) + f"\n{missed} of {len(told)} lie outside of their 95 % interval."
    seen = [(stage, lines[stage, "cpu_s"].at(1)[0]) for stage in README if (stage, "cpu_s") in lines]
    beside = ", ".join(f"{stage} {clock(cost)} of CPU for {README[stage]}" for stage, cost in seen)
    return f"{text} Beside what the README says of the whole default, on a clock: {beside}.\n"


def fits(lines: Lines) -> str:
    """Cost = fixed + slope * size ^ power."""
    told = []
    for (stage, key), line in lines.items():
        if key in SHOWN:
            fit, unit = line.fit, SHOWN[key]
            power = f"{fit.line.power:g} ({fit.power_low:g} to {fit.power_high:g})" if fit.power_low else "1, assumed"
            rise = fit.line.slope * 1000**fit.line.power
            slope = f"{rise:,.0f} {unit}" if rise >= 100 else f"{rise:.2g} {unit}"
            sizes = f"{fit.smallest:,.0f} to {fit.largest:,.0f} {line.unit}"
            told.append([stage, RESOURCES[key], f"{fit.line.fixed:,.1f} {unit}", slope, power, sizes])
    return table(["stage", "of", "fixed", "and for the first 1,000", "power (95 % interval)", "measured at"], told)


def value(key: str, cost: float) -> str:
    """A cost in its unit."""
    return clock(cost) if key == "cpu_s" else f"{cost / 1e3:,.2f} GB"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows)) + "\n"
