"""What a person does in a browser, from the form to the champion: real Airflow and MLflow, headless Chromium.

    LUTHIER_PICTURES=/tmp/pictures python -m pytest tests/test_ui.py     # keeps the README's pictures, too

The project is a small one. Its untrained model says nothing but noise, so that a training surely makes it better: the
gate's "promote" is its own verdict. Whatever is waited for is waited for on the page.
"""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks import services
from tasks.orchestrator import Airflow, password
from tests import pages, small, toys

pytestmark = [pytest.mark.service, pytest.mark.long]
PIPELINE, PROMOTION = "finetune_pipeline", "promote_model"
STAGES = ["fetch", "validate", "expand", "finetune", "predict", "evaluate", "register"]
ASKED = {"finetune.seed": "7", "finetune.optimizer.learning_rate": "0.005"}
LINE = re.compile(r"finetune +(\d+) of \d+ steps")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small project with Airflow and MLflow running in it."""
    pages.required()
    root = tmp_path_factory.mktemp("ui") / "project"
    root.mkdir()
    part = small.params()["expand"]["mixture"][0] | {"take": {"train": 36, "dev": 2, "test": 16}}
    small.write(
        root,
        expand={"mixture": [part]},
        finetune={"method": "full", "optimizer": toys.PARAMS["optimizer"] | {"epochs": 16}},
        promote={"min_examples": 10, "approval": "airflow"},
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AIRFLOW", "MLFLOW_TRACKING", "PYTHONPATH"))]:
            patch.delenv(name)
        try:
            services.up(root)
            with Airflow(_url(root), password(root)) as api:
                pages.until(lambda: api.known(PIPELINE) and api.known(PROMOTION), "DAGs that were read")
            yield root
        finally:
            services.down(root)


@pytest.fixture(scope="module")
def browser(root: Path) -> Iterator[Any]:
    """A browser whose person has signed in."""
    browser = pages.start()
    try:
        pages.sign_in(browser, _url(root), password(root))
        browser.get_log("browser")  # that nobody had signed in yet is told as an error
        yield browser
    finally:
        browser.quit()


@pytest.fixture(scope="module")
def run(root: Path, browser: Any) -> str:
    """A run that was started with the form: its id."""
    return _trigger(root, browser, ASKED)


@pytest.fixture(autouse=True)
def _no_page_complains(browser: Any) -> Iterator[None]:
    yield
    wrong = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    # A form that is refused is a 400; an MLflow without sign-in has no user to tell of.
    usual = ("dagRuns - Failed to load resource: the server responded with a status of 400", "/users/current - Failed")
    assert not [message for message in wrong if not any(part in message for part in usual)]


def test_the_form_shows_every_field_and_refuses_in_words_what_is_out_of_bounds(root: Path, browser: Any) -> None:
    with Airflow(_url(root), password(root)) as api:
        fields = api.call("GET", f"dags/{PIPELINE}/details")["params"]
    shown = pages.open_form(browser, _url(root), PIPELINE)
    assert {"finetune.seed", "revision", "more"} < set(fields)
    for name, field in fields.items():
        assert field["schema"]["title"] in shown.text, name
        assert field["description"] in shown.text, name
    assert "as in params.yaml" in shown.text  # and not null, where no method is chosen
    for name, typed, said in (
        ("finetune.optimizer.learning_rate", "5e-5", "55 is greater than the maximum of 0.1"),  # the page drops the e
        ("finetune.optimizer.learning_rate", "0", "0 is less than or equal to the minimum of 0"),
        ("finetune.optimizer.epochs", "51", "51 is greater than the maximum of 50"),
        ("finetune.seed", "2.5", "2.5 is not of type 'null', 'integer'"),
    ):
        pages.open_form(browser, _url(root), PIPELINE)
        pages.fill(browser, name, typed)
        pages.there(browser, "[data-testid=trigger-dag-submit]").click()
        pages.reads(browser, f"Invalid input for param {name}: {said}")


def test_a_run_goes_green_in_the_grid_and_its_log_moves_meanwhile(root: Path, browser: Any, run: str) -> None:
    browser.get(_page(root, run))
    pages.until(lambda: pages.states(browser).get("finetune") == "Running", "a training", browser)
    pages.there(browser, f"[data-testid='grid-{run}-finetune']").click()
    steps: set[str] = set()

    def moved() -> bool:
        steps.update(LINE.findall(pages.text(browser)))
        return len(steps) > 2 or pages.states(browser).get("finetune") in {"Success", "Failed"}

    pages.until(moved, "lines of progress", browser)
    assert len(steps) > 2  # while the task was running
    pages.ended(browser, _page(root, run), run, "Success", STAGES)


def test_the_same_again_has_nothing_to_do_and_is_shown_as_skipped(root: Path, browser: Any, run: str) -> None:
    pages.ended(browser, _page(root, run), run, "Success", STAGES)
    again = _trigger(root, browser, ASKED)
    pages.ended(browser, _page(root, again), again, "Skipped", STAGES)


def test_a_person_approves_and_mlflow_shows_the_champion(root: Path, browser: Any, run: str) -> None:
    pages.ended(browser, _page(root, run), run, "Success", STAGES)
    browser.get(f"{_url(root)}/dags/{PROMOTION}")
    pages.reads(browser, "Required Actions")
    time.sleep(2)  # Airflow 3.3 loses an answer that comes while its scheduler still notes the pause
    pages.button(browser, "Required Actions").click()
    pages.reads(browser, "May version 1 of 'luthier' become champion?")
    pages.reads(browser, "Version 1: the gate says promote")
    pages.press(browser, pages.button(browser, "Approve"))
    pages.until(lambda: not pages.buttons(browser, "Approve"), "an answer that was taken", browser)
    version = f"{_url(root, 'mlflow')}/#/models/luthier/versions/1"
    browser.get(version)

    def champion() -> bool:
        browser.refresh()
        pages.reads(browser, "@ challenger")
        return "@ champion" in pages.text(browser)

    pages.until(champion, "the alias champion", browser)
    assert "luthier.verdict\npromote" in pages.text(browser)
    if folder := os.environ.get("LUTHIER_PICTURES"):
        pages.there(browser, "button[aria-label=Close]").click()  # of an assistant that has nothing to do with it
        pages.picture(browser.get_screenshot_as_png(), Path(folder) / "mlflow_version.png")


@pytest.mark.skipif("LUTHIER_PICTURES" not in os.environ, reason="LUTHIER_PICTURES names no folder for them")
def test_the_pictures_of_the_readme(root: Path, browser: Any, run: str) -> None:
    folder = Path(os.environ["LUTHIER_PICTURES"])
    pages.ended(browser, _page(root, run), run, "Success", STAGES)
    browser.set_window_size(1280, 1800)
    pages.open_form(browser, _url(root), PIPELINE)
    for name, typed in {"finetune.seed": "8", "finetune.optimizer.epochs": "10"}.items():
        pages.fill(browser, name, typed)
    fields = pages.there(browser, "[data-testid=config-form] > [data-state=open]")
    pages.picture(fields.screenshot_as_png, folder / "airflow_form.png")
    other = pages.send(browser)
    browser.set_window_size(1400, 760)  # a narrower one hides the runs
    browser.get(_page(root, other))
    pages.until(lambda: pages.states(browser).get("register") == "Success", "another run", browser)
    browser.get(f"{_url(root)}/dags/{PIPELINE}")
    pages.reads(browser, "Last 3 Dag Runs")
    time.sleep(5)  # charts move
    pages.picture(browser.get_screenshot_as_png(), folder / "airflow_grid.png")


def _url(root: Path, name: str = "api-server") -> str:
    return services.status(root)[name].url


def _page(root: Path, run: str) -> str:
    return f"{_url(root)}/dags/{PIPELINE}/runs/{run}"


def _trigger(root: Path, browser: Any, asked: dict[str, str]) -> str:
    """As a person would: the form, a value in each of these fields, the button."""
    pages.open_form(browser, _url(root), PIPELINE)
    for name, typed in asked.items():
        pages.fill(browser, name, typed)
    return pages.send(browser)
