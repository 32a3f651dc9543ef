"""Growth of each stage: what a line of the capacity page is fitted to, and what it says of k times the data.

    lines = growth(rows)                      # rows of docs/capacity.json
    lines["validate", "cpu_s"].at(100)        # (cost, low, high) at 100 times the default's data

The level is the default's own, where it was measured; the growth is that of the series: cost(k) = default + fit(k n) -
fit(n). So a toy model's series may tell how memory grows with rows, beside a level that it says nothing of. Where the
fit begins only beyond the default's size it stands alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.capacity_fit import Fit, HeldOut, Points, fitted, held_out, noise_of

Row = Mapping[str, Any]
STAGES = ("fetch", "validate", "expand", "finetune", "predict", "evaluate")
RESOURCES = {"cpu_s": "CPU time", "peak_mb": "peak memory", "kept_mb": "kept by DVC", "written_mb": "written"}
UNITS = {
    "fetch": "records", "validate": "records", "expand": "records", "finetune": "tokens",
    "predict": "held-out examples", "evaluate": "held-out examples",
}  # fmt: skip
TOY = {"fetch": "records", "validate": "records", "expand": "records"} | dict.fromkeys(STAGES[3:], "examples")
REAL = {("finetune", "cpu_s"), ("predict", "cpu_s")}  # what the default's model, not a toy, has to tell
# validate counts tokens in at most 10,000 rows of a source, sentiment in 5,000 (data/judge/profile.py, validate.bias):
# up to there a record costs several times as much as beyond, and it is what lies beyond that is asked about.
BEGINS = {"validate": 10_000.0}


@dataclass(frozen=True)
class Growth:
    """One stage and resource."""

    unit: str
    points: Points
    fit: Fit
    default_size: float
    default: float | None
    """Cost of the default; None: the fit tells it."""
    known: bool
    """Whether the default was measured as a whole."""
    tried: HeldOut | None

    @property
    def moved(self) -> float:
        """What lies between the default, where it was measured, and the fit at its size."""
        if self.default is None or self.default_size < self.fit.smallest:
            return 0.0
        return self.default - self.fit.at(self.default_size)[0]

    def at(self, times: float) -> tuple[float, float, float]:
        """Cost at so many times the default's data, with its interval."""
        cost, low, high = (end + self.moved for end in self.fit.at(times * self.default_size))
        return cost, max(0.0, low), high

    def reaches(self, cost: float) -> float:
        """How many times the default's data take so much."""
        return self.fit.reaches(cost - self.moved) / self.default_size


def series(rows: Sequence[Row], part: str, stage: str, key: str) -> Points:
    """(size, cost) of a part's measurements, by size; costs of 0 left out, for errors are relative ones."""
    found = [(float(row["size"]), float(row[key])) for row in rows if (row["part"], row["stage"]) == (part, stage)]
    return sorted(point for point in found if point[1] > 0)


def default_sizes(rows: Sequence[Row]) -> dict[str, float]:
    """How large the default is, in each stage's unit."""
    sizes = {row["stage"]: float(row["size"]) for row in rows if row["part"] == "default"}
    for stage in ("finetune", "predict"):  # the largest share that was measured tells it
        shares = [row for row in rows if row["part"] == "shares" and row["stage"] == stage]
        if stage not in sizes and shares:
            largest = max(shares, key=lambda row: row["share"])
            sizes[stage] = largest["size"] / largest["share"]
    sizes.setdefault("evaluate", sizes.get("predict", 0.0))
    return sizes


def growth(rows: Sequence[Row]) -> dict[tuple[str, str], Growth]:
    """All that can be fitted: what three sizes or more were measured of."""
    sizes, found = default_sizes(rows), {}
    for key in RESOURCES:
        fitted_to = {stage: _points(rows, stage, key) for stage in STAGES if stage in sizes}
        enough = {stage: points for stage, points in fitted_to.items() if len(points) >= 3}
        noise = noise_of(list(enough.values())) if enough else None
        for stage, points in enough.items():
            fit = fitted(points, noise)
            level, known = _level(rows, stage, key, fit, sizes[stage])
            tried = held_out(points, noise)
            found[stage, key] = Growth(UNITS[stage], points, fit, sizes[stage], level, known, tried)
    return {(stage, key): found[stage, key] for stage in STAGES for key in RESOURCES if (stage, key) in found}


def _points(rows: Sequence[Row], stage: str, key: str) -> Points:
    part = "shares" if (stage, key) in REAL else TOY[stage]
    return [point for point in series(rows, part, stage, key) if point[0] >= BEGINS.get(stage, 0.0)]


def _level(rows: Sequence[Row], stage: str, key: str, fit: Fit, size: float) -> tuple[float | None, bool]:
    """The default's cost, and whether it was measured as a whole."""
    own, shares = (_costs(rows, name, stage, key) for name in ("default", "shares"))
    if own:
        return own[-1], True
    if (stage, key) == ("predict", "cpu_s"):
        return put_together(rows, fit, size), False
    if TOY[stage] == "examples" and (stage, key) not in REAL and shares:
        return shares[-1], False  # the default's model, which hardly needs more for more examples
    return None, False


def _costs(rows: Sequence[Row], part: str, stage: str, key: str) -> list[float]:
    return [cost for _, cost in series(rows, part, stage, key)]


def put_together(rows: Sequence[Row], fit: Fit, size: float) -> float | None:
    """CPU seconds of the default's predict, from its parts: held-out examples, those perturbed and repeated, suites.

    None where the suites were not measured.
    """
    suites = sorted((row for row in rows if row["part"] == "suites"), key=lambda row: row["size"])
    if len(suites) < 2:
        return None
    first, last = suites[0], suites[-1]
    question = (last["cpu_s"] - first["cpu_s"]) / (last["size"] - first["size"])
    return fit.at(size + last["besides"])[0] + float(last["of"]) * float(question)


def per_unit(rows: Sequence[Row], stage: str, default: Fit) -> list[dict[str, Any]]:
    """What a token costs by model: {model, parameters, cpu_s of 1,000, peak_mb, sizes}.

    Two sizes take the starting off. One alone tells how many times the default's model's whole stage it took, and a
    token is taken to cost as many times as much.

    Args:
        rows: of docs/capacity.json.
        stage: finetune.
        default: the fit of the default's model.
    """
    told = []
    of_stage = [row for row in rows if row["part"] in ("models", "shares") and row["stage"] == stage]
    for model in dict.fromkeys(row["model"] for row in of_stage):
        own = sorted((row for row in of_stage if row["model"] == model), key=lambda row: row["size"])
        first, last = own[0], own[-1]
        if last["size"] > first["size"]:
            each = (last["cpu_s"] - first["cpu_s"]) / (last["size"] - first["size"])
        else:
            each = default.line.slope * last["cpu_s"] / default.at(last["size"])[0]
        told.append({
            "model": model, "parameters": last["parameters"], "peak_mb": max(row["peak_mb"] for row in own),
            "cpu_s": 1000.0 * each, "sizes": sorted({row["size"] for row in own}),
        })  # fmt: skip
    return sorted(told, key=lambda row: row["parameters"])
