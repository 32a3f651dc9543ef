"""benchmarks/capacity: a fit finds what made the points, says what it does not know, and the page says it in words."""

import math
import random
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import capacity, capacity_page
from benchmarks.capacity_fit import fitted, held_out, noise_of, power_law
from benchmarks.capacity_growth import growth, per_unit
from benchmarks.capacity_limits import clock, limits
from benchmarks.capacity_page import page
from benchmarks.capacity_plot import drawing
from benchmarks.capacity_project import made_records
from benchmarks.capacity_tables import table
from tasks.data.files import read_json, write_json

SIZES = (1000.0, 3000.0, 10_000.0, 30_000.0, 100_000.0)
MACHINE = {"date": "2026-11-26", "cores": "2", "cpu": "a CPU", "memory_gb": "23", "versions": "torch 2"}


def points(fixed: float, slope: float, power: float = 1.0, noise: float = 0.0, seed: int = 0) -> list[tuple[float, float]]:
    draw = random.Random(seed)
    return [(size, (fixed + slope * size**power) * (1.0 + draw.gauss(0.0, noise))) for size in SIZES]


def test_a_line_is_found_and_called_one() -> None:
    fit = fitted(points(5.0, 0.002))
    assert fit.line.power == 1.0
    assert fit.line.fixed == pytest.approx(5.0) and fit.line.slope == pytest.approx(0.002)
    assert fit.power_low is not None and fit.power_high is not None and fit.power_low < 1.0 < fit.power_high
    for seed in range(5):  # also where another power is a little nearer
        assert fitted(points(5.0, 0.002, noise=0.05, seed=seed)).line.power == 1.0


def test_what_grows_with_the_square_is_no_line() -> None:
    fit = fitted(points(5.0, 1e-6, power=2.0))
    assert fit.line.power == pytest.approx(2.0, abs=0.02)
    assert fit.power_low is not None and fit.power_low > 1.0
    assert fit.at(1e6)[0] == pytest.approx(5.0 + 1e6, rel=0.1)


def test_a_cost_that_does_not_grow_has_no_slope() -> None:
    fit = fitted([(size, 400.0) for size in SIZES[:3]])
    assert fit.at(1e9)[0] == pytest.approx(400.0, rel=1e-6)
    assert fit.reaches(401.0) > 1e9
    flat = fitted([(size, cost) for size, cost in zip(SIZES, (464.0, 463.0, 464.0, 466.0, 464.0), strict=True)])
    assert flat.power_low is None and flat.at(1e7)[2] < 20_000.0  # a free power would say millions


def test_too_few_sizes_or_too_near_ones_leave_the_power_an_assumption() -> None:
    near = [(size, 3.0 + size) for size in (1.0, 2.0, 3.0, 4.0, 5.0)]
    for some in (points(5.0, 0.002)[:4], near):
        fit = fitted(some)
        assert fit.line.power == 1.0 and fit.power_low is None
    with pytest.raises(ValueError, match="2 measurements fit no line"):
        fitted(points(5.0, 0.002)[:2])


@pytest.mark.parametrize("count", [5, 4], ids=["with the power free", "with the power assumed"])
def test_intervals_hold_the_truth_about_as_often_as_they_say(count: int) -> None:
    inside = 0
    for seed in range(40):
        cost, low, high = fitted(points(5.0, 0.002, noise=0.05, seed=seed)[:count]).at(1e6)
        assert low <= cost <= high
        inside += low <= 5.0 + 0.002 * 1e6 <= high
    assert inside >= 36


def test_what_several_stages_leave_over_narrows_the_interval_of_one() -> None:
    few = points(5.0, 0.002, noise=0.05, seed=2)[:3]
    several = [few, *(points(5.0, 0.002, noise=0.05, seed=seed) for seed in range(3, 9))]
    noise = noise_of(several)
    assert noise.freedom == 1 + 6 * 2
    assert noise.relative == pytest.approx(0.05, abs=0.03)
    alone, together = fitted(few), fitted(few, noise)
    assert alone.line.slope == together.line.slope
    assert together.at(1e6)[2] < alone.at(1e6)[2]


def test_an_interval_widens_away_from_what_was_measured() -> None:
    fit = fitted(points(5.0, 0.002, noise=0.05, seed=1))
    near, far = fit.at(1e5), fit.at(1e8)
    assert (far[2] - far[1]) / far[0] > (near[2] - near[1]) / near[0]


def test_the_largest_size_is_left_out_and_predicted_from_the_others() -> None:
    honest = held_out(points(5.0, 0.002))
    assert honest is not None and honest.size == 100_000.0
    assert abs(honest.error) < 0.01 and honest.inside
    bent = [*points(5.0, 0.002)[:-1], (100_000.0, 900.0)]
    found = held_out(bent)
    assert found is not None and found.error < -0.5 and not found.inside
    assert held_out(points(5.0, 0.002)[:3]) is None
    by_two = held_out(points(5.0, 0.002)[:3], noise_of([points(5.0, 0.002)]))
    assert by_two is not None and abs(by_two.error) < 0.01 and by_two.inside


def test_a_fit_says_where_a_cost_is_reached() -> None:
    fit = fitted(points(5.0, 0.002))
    assert fit.reaches(205.0) == pytest.approx(100_000.0, rel=1e-3)
    assert fit.reaches(1.0) == 0.0


def test_a_power_law_has_no_fixed_part() -> None:
    factor, power = power_law([(1e6, 2e-3), (1e8, 2e-1), (1e9, 2.0)])
    assert power == pytest.approx(1.0) and factor == pytest.approx(2e-9)


def rows(default: bool = True) -> list[dict[str, Any]]:
    """Invented measurements of every stage, as capacity.json holds them."""
    found: list[dict[str, Any]] = []

    def add(part: str, stage: str, size: float, cpu: float, peak: float, model: str = "toy", **more: Any) -> None:
        cost = {"cpu_s": cpu, "wall_s": cpu, "peak_mb": peak, "kept_mb": size / 1e3, "written_mb": size / 500.0}
        found.append({"part": part, "stage": stage, "model": model, "size": size, "version": "abc1234", "load": 3.0,
                      "kept_files": 5} | cost | more)  # fmt: skip

    for size in SIZES:
        for stage, slope in (("fetch", 1e-5), ("validate", 1e-3), ("expand", 1e-4)):
            add("records", stage, size, 4.0 + slope * size, 300.0 + 0.02 * size, raw_mb=size * 0.0023)
    for share, size in ((0.125, 8000), (0.25, 16_000), (0.5, 32_000)):
        add("shares", "finetune", size, 30.0 + 0.006 * size, 3000.0, "SmolLM2-135M", share=share, parameters=135_000_000)
    for share, size in ((0.125, 20), (0.25, 40), (0.5, 80)):
        add("shares", "predict", size, 20.0 + 2.0 * size, 2000.0, "SmolLM2-135M", share=share, parameters=135_000_000)
    for size in (20, 60):
        add("suites", "predict", size, 50.0 + 1.5 * size, 2000.0, "SmolLM2-135M", of=430, besides=88)
    for size in (1000, 4000):
        add("models", "finetune", size, 60.0 + 0.016 * size, 7000.0, "360M", parameters=360_000_000)
    for size in (100.0, 300.0, 1000.0, 3000.0):
        for stage in ("predict", "evaluate"):
            add("examples", stage, size, 6.0 + 0.05 * size, 500.0 + 0.1 * size)
        add("examples", "finetune", 300 * size, 6.0 + 0.01 * size, 800.0 + 0.01 * size)
        found.append({"part": "examples", "stage": "points", "size": 300 * size, "points": 4 + size / 10.0})
        found.append({"part": "examples", "stage": "page", "size": size, "page_mb": 0.2 + size / 4000.0})
    for count in (10, 100, 1000):
        found.append({"part": "branches", "stage": "runs", "size": count, "cpu_s": 0.5 + 0.004 * count})
    for at_once in (1, 2, 2):
        add("workers", "expand", 3000, 3.0 * at_once, 300.0, at_once=at_once)
    for stage, size in (("fetch", 2321), ("validate", 2321), ("expand", 2321), ("finetune", 64_000)) if default else ():
        add("default", stage, size, 400.0 if stage == "finetune" else 12.0, 4466.0, "SmolLM2-135M")
    return found


def test_the_level_is_the_default_s_and_the_growth_the_series() -> None:
    lines = growth(rows())
    line = lines["finetune", "cpu_s"]
    assert line.at(1)[0] == pytest.approx(400.0)
    assert line.at(10)[0] == pytest.approx(400.0 + 0.006 * 64_000 * 9, rel=1e-3)
    assert line.at(line.reaches(4000.0))[0] == pytest.approx(4000.0, rel=1e-3)
    assert growth(rows(default=False))["finetune", "cpu_s"].default is None


def test_the_default_s_predict_is_put_together_from_its_parts_where_it_was_not_measured() -> None:
    line = growth(rows())["predict", "cpu_s"]
    assert not line.known
    assert line.at(1)[0] == pytest.approx(20.0 + 2.0 * (160 + 88) + 1.5 * 430)
    assert line.at(10)[0] - line.at(1)[0] == pytest.approx(2.0 * 9 * 160)


def test_memory_stands_at_the_default_s_model_and_grows_as_the_toy_s() -> None:
    line = growth(rows(default=False))["finetune", "peak_mb"]
    assert line.at(1)[0] == pytest.approx(3000.0)
    assert line.at(11)[0] == pytest.approx(3000.0 + 10 * 64_000 * 0.01 / 300, rel=1e-3)


def test_validate_is_fitted_only_beyond_what_it_samples() -> None:
    line = growth(rows())["validate", "cpu_s"]
    assert line.fit.smallest == 10_000.0
    assert line.at(100)[0] == pytest.approx(4.0 + 1e-3 * 232_100, rel=1e-3)  # not moved to the default's level


def test_a_token_s_cost_is_told_without_the_start() -> None:
    fit = growth(rows())["finetune", "cpu_s"].fit
    told = per_unit(rows(), "finetune", fit)
    assert [row["model"] for row in told] == ["SmolLM2-135M", "360M"]
    assert told[1]["cpu_s"] == pytest.approx(16.0)
    once = [row for row in rows() if row.get("model") != "360M" or row["size"] == 4000]
    alone = per_unit(once, "finetune", fit)[1]
    assert alone["sizes"] == [4000]
    assert alone["cpu_s"] == pytest.approx(6.0 * (60.0 + 0.016 * 4000) / (30.0 + 0.006 * 4000), rel=1e-3)


def test_what_breaks_first_stands_first() -> None:
    found = limits(growth(rows()), rows())
    times = [limit.times for limit in found if not math.isnan(limit.times)]
    assert times == sorted(times) and len(times) >= 5
    assert all(math.isnan(limit.times) for limit in found[len(times) :])
    validate = next(limit for limit in found if limit.what == "memory: validate needs 16 GB")
    assert validate.times == pytest.approx((16_000 - 300) / 0.02 / 2321, rel=1e-2)
    assert any(limit.what.startswith("git") and limit.size == "15,000 branches of runs" for limit in found)


def test_the_page_says_all_of_it() -> None:
    text = page(MACHINE, rows(), growth(rows()))
    for said in ("What will it cost me", "On these assumptions", "What breaks first", "In short", "How well it predicts", "load of 3 to 3",
                 "1, assumed", "PostgreSQL", "capacity.svg", "28 GB", "| **all stages** |", "7 B"):  # fmt: skip
        assert said in text, said
    assert text.index("What will it cost me") < text.index("On these assumptions") < text.index("What breaks first")
    widths = {block: {line.count(" | ") for line in block.splitlines() if line.startswith("|")} for block in text.split("\n\n")}
    assert all(len(counts) <= 1 for counts in widths.values()), "a table whose rows differ in columns"


def test_memory_whose_growth_was_not_measured_is_said_to_be_so() -> None:
    some = [row for row in rows(default=False) if (row["part"], row["stage"]) != ("examples", "finetune")]
    text = page(MACHINE, some, growth(some))
    assert "| finetune | about 3.0 GB | growth not measured | growth not measured | growth not measured |" in text


def test_the_drawing_is_svg_with_a_dot_for_each_measurement() -> None:
    lines = {stage: line for (stage, key), line in growth(rows()).items() if key == "cpu_s"}
    text = drawing(lines)
    root = ElementTree.fromstring(text)  # noqa: S314  # ours
    drawn = [one for one in root.iter() if one.tag.endswith("circle")]
    assert len(drawn) == sum(len(line.points) for line in lines.values())
    assert "nan" not in text and len(text) < 150_000


def test_times_are_said_in_the_unit_of_a_person() -> None:
    assert [clock(s) for s in (4.2, 60, 600, 7200, 200_000, 8.6e6)] == ["4.2 s", "60 s", "10 min", "2.0 h", "2.3 days", "100 days"]
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


def test_made_records_share_no_run_of_words_and_are_the_same_every_time() -> None:
    draw = random.Random(1)
    real = [{"document": " ".join(f"w{draw.randrange(5000)}" for _ in range(60)), "summary": "a b c"} for _ in range(50)]
    made = list(made_records(real, 200))
    assert made == list(made_records(real, 200))
    runs = [tuple(row["document"].split()[at : at + 4]) for row in made for at in range(57)]
    assert len(runs) == len(set(runs))
    assert len({row["id"] for row in made}) == 200


def test_the_page_is_written_from_the_measurements_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = tmp_path / "capacity.json"
    write_json(figures, {"machine": MACHINE, "rows": rows()})
    monkeypatch.setattr(capacity, "FIGURES", figures)
    capacity.main(render=True)
    assert read_json(figures)["rows"] == rows()
    first = (tmp_path / "capacity.md").read_text()
    capacity_page.write_page(figures)
    assert (tmp_path / "capacity.md").read_text() == first and (tmp_path / "capacity.svg").is_file()
