"""Cost = fixed + slope * size ^ power: fitted to what was measured, with intervals, and drawn out to other sizes.

    fit = fitted([(1000, 9.1), (3000, 13.0), ...])
    fit.at(2_300_000)                 # (cost, low, high)
    held_out([(1000, 9.1), ...])      # what the fit without the largest size says of it

Errors are taken as relative ones, so that small sizes count as much as large ones. Fixed and slope are not negative.
The power is free only where the sizes can tell it: five or more, over a factor of 30, of a cost that grows. Then its
interval is the set of powers whose sum of squares the F test does not refuse; where 1 is among them, the fit is linear.
Elsewhere it is 1, and `power_low` is None: an assumption. How far one measurement goes astray is told by what the fits
of several stages leave over. An interval of a cost is the widest of those under any power of that set, each with
Student's t for the mean and for one more measurement.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls
from scipy.stats import t as student

Points = Sequence[tuple[float, float]]
CONFIDENCE = 0.95
NOISE = 0.05  # relative: on a machine with other work, two runs of one stage seldom agree better
FEWEST, WIDEST = 5, 30.0  # sizes, and the factor from the least to the greatest, that a power of its own needs
POWERS = np.round(np.arange(0.3, 2.501, 0.02), 2)


@dataclass(frozen=True)
class Noise:
    """How far one measurement lies from what it would be on average."""

    relative: float
    """Standard deviation over the cost."""
    freedom: int
    """Degrees of freedom that it is known with."""


@dataclass(frozen=True)
class Line:
    """The fit under one power."""

    power: float
    fixed: float
    slope: float
    squares: float
    """Sum of squared relative errors."""
    covariance: Any
    """Of (fixed, slope), for relative errors of 1: a 2 x 2 array; zeros where fixed is held at 0."""

    def cost(self, size: float) -> float:
        """At a size."""
        return self.fixed + self.slope * size**self.power

    def half(self, size: float, noise: Noise) -> float:
        """Half the interval at a size."""
        row = np.array([1.0, size**self.power])
        spread = float(row @ self.covariance @ row) + self.cost(size) ** 2
        return quantile(noise.freedom) * noise.relative * math.sqrt(spread)


@dataclass(frozen=True)
class Fit:
    """What was fitted."""

    line: Line
    others: list[Line]
    """Under the other powers that the measurements allow."""
    power_low: float | None
    power_high: float | None
    noise: Noise
    smallest: float
    largest: float

    def at(self, size: float) -> tuple[float, float, float]:
        """Cost at a size, with its interval."""
        ends = [(line.cost(size), line.half(size, self.noise)) for line in (self.line, *self.others)]
        return self.line.cost(size), max(0.0, min(cost - half for cost, half in ends)), max(map(sum, ends))

    def reaches(self, cost: float) -> float:
        """The size at which the cost is reached; infinite where it never is."""
        line = self.line
        if cost <= line.fixed:
            return 0.0
        return ((cost - line.fixed) / line.slope) ** (1.0 / line.power) if line.slope > 0 else math.inf


@functools.cache
def quantile(freedom: int) -> float:
    """Student's t at CONFIDENCE, two-sided."""
    return float(student.ppf(0.5 + CONFIDENCE / 2.0, freedom))


def line_of(points: Points, power: float) -> Line:
    """Least squares of relative errors, fixed and slope not negative."""
    sizes, costs = np.array(points, dtype=float).T
    rows = np.column_stack([1.0 / costs, sizes**power / costs])
    scale = np.linalg.norm(rows, axis=0)
    (fixed, slope), rest = nnls(rows / scale, np.ones(len(costs)))
    held = [column for column, found in enumerate((fixed, slope)) if found > 0]
    covariance = np.zeros((2, 2))
    part = rows[:, held] / scale[held]
    covariance[np.ix_(held, held)] = np.linalg.inv(part.T @ part) / np.outer(scale[held], scale[held])
    return Line(power, float(fixed / scale[0]), float(slope / scale[1]), float(rest) ** 2, covariance)


def fitted(points: Points, noise: Noise | None = None) -> Fit:
    """Fit so many (size, cost); costs are positive.

    Args:
        points: three or more sizes; two do where the noise is given.
        noise: of one measurement, where more than these points tell it.

    Raises:
        ValueError: there are fewer.
    """
    noise = noise or noise_of([points])
    sizes = [size for size, _ in points]
    best, lines = _nearest(points)
    if not lines:
        return Fit(best, [], None, None, noise, min(sizes), max(sizes))
    limit = best.squares + (noise.relative * quantile(noise.freedom)) ** 2
    kept = [line for line in lines if line.squares <= limit]
    low, high = kept[0].power, kept[-1].power
    if low == POWERS[0] or high == POWERS[-1]:  # it hardly grows: any power would do
        return Fit(line_of(points, 1.0), [], None, None, noise, min(sizes), max(sizes))
    line = line_of(points, 1.0) if low <= 1.0 <= high else best
    return Fit(line, kept, low, high, noise, min(sizes), max(sizes))


def noise_of(several: Sequence[Points]) -> Noise:
    """Of one measurement, from what several fits leave over: stages of one machine are disturbed alike.

    Raises:
        ValueError: one has fewer than three points.
    """
    squares, freedom = 0.0, 0
    for points in several:
        if len(points) < 3:
            raise ValueError(f"{len(points)} measurements fit no line with an error: measure three sizes or more.")
        best, lines = _nearest(points)
        squares, freedom = squares + best.squares, freedom + len(points) - (3 if lines else 2)
    return Noise(max(NOISE, math.sqrt(squares / freedom)), freedom)


def _nearest(points: Points) -> tuple[Line, list[Line]]:
    """The fit of least squares, and those under all powers; none where the sizes cannot tell a power."""
    sizes = [size for size, _ in points]
    if len(set(sizes)) < FEWEST or max(sizes) < WIDEST * min(sizes):
        return line_of(points, 1.0), []
    lines = [line_of(points, float(power)) for power in POWERS]
    return min(lines, key=lambda line: line.squares), lines


@dataclass(frozen=True)
class HeldOut:
    """A size that the fit did not see."""

    size: float
    measured: float
    predicted: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """Of the prediction, relative to what was measured."""
        return self.predicted / self.measured - 1.0

    @property
    def inside(self) -> bool:
        """Whether what was measured lies in the interval."""
        return self.low <= self.measured <= self.high


def held_out(points: Points, noise: Noise | None = None) -> HeldOut | None:
    """What the fit to all but the largest size says of it; None where too few remain."""
    largest = max(size for size, _ in points)
    rest = [point for point in points if point[0] < largest]
    if len({size for size, _ in rest}) < (2 if noise else 3):
        return None
    costs = [cost for size, cost in points if size == largest]
    return HeldOut(largest, sum(costs) / len(costs), *fitted(rest, noise).at(largest))


def power_law(points: Points) -> tuple[float, float]:
    """(factor, power) of cost = factor * size ^ power, least squares of logarithms; for costs without a fixed part."""
    sizes, costs = np.log(np.array(points, dtype=float).T)
    power, factor = np.polyfit(sizes, costs, 1)
    return float(np.exp(factor)), float(power)
