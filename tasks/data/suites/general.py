"""Which questions of which suite are asked of both models, as params.yaml says it."""

from pydantic import Field, model_validator

from tasks.data.suites.asked import Asked, draw, put
from tasks.data.suites.declared import By, load_suite, way_of
from tasks.data.suites.questions import Benchmark
from tasks.errors import ParamsError
from tasks.params import Section


class General(Section):
    """Questions of a suite that both models answer."""

    suite: str
    """A name in data/suites/library."""
    benchmark: str
    """A name in fetch.benchmarks."""
    by: By
    """letter: compare the scores of the options' letters; text: of the options' texts."""
    shots: int = Field(ge=0)
    """Solved questions before each question; 0 for none."""
    shots_from: str | None
    """The benchmark that they are taken from."""
    questions: int | None = Field(ge=1)
    """How many, drawn by the seed; null for all."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> "General":
        if (self.shots > 0) != (self.shots_from is not None) or self.shots_from == self.benchmark:
            raise ValueError("shots need a shots_from that is another benchmark, else a question could be its own shot")
        try:
            suite = load_suite(self.suite)
            way_of(suite, self.by)
        except ParamsError as error:
            raise ValueError(str(error)) from None
        if self.shots > suite.most_shots:
            raise ValueError(f"the suite '{self.suite}' is asked with at most {suite.most_shots} shots")
        return self


def benchmark_of(benchmarks: dict[str, Benchmark], name: str) -> Benchmark:
    """A fetched benchmark.

    Raises:
        ParamsError: it was not fetched.
    """
    if name not in benchmarks:
        known = ", ".join(benchmarks)
        raise ParamsError(f"params.yaml: predict.suites names '{name}', which is not in fetch.benchmarks: {known}.")
    return benchmarks[name]


def words_of(general: General, benchmarks: dict[str, Benchmark], seed: int) -> list[Asked]:
    """The questions of a suite as they are put."""
    questions = draw(benchmark_of(benchmarks, general.benchmark).questions, general.questions, seed)
    solved = benchmark_of(benchmarks, general.shots_from).questions if general.shots_from else []
    return put(load_suite(general.suite), general.by, questions, solved, general.shots, seed)
