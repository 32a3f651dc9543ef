"""Human approval, end to end: real Airflow and MLflow, the real DAG, a person's answer by REST and on the page.

The checkout is a folder of its own with a toy model that is registered; what the DAG runs is this project's code.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks import register, services
from tasks.data.files import read_json
from tasks.orchestrator import Airflow, password
from tasks.tracking import registry, server
from tests.trained import PROMOTE, write_project, write_scores

pytestmark = [pytest.mark.service, pytest.mark.long]
ROOT = Path(__file__).resolve().parent.parent
DAG = "promote_model"
WAIT_S = 150


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkout with a registered challenger, and Airflow running in it."""
    root = tmp_path_factory.mktemp("checkout")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AIRFLOW", "MLFLOW_TRACKING", "LUTHIER"))]:
            patch.delenv(name)
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.chdir(root)
        write_project(root)
        params = read_json(root / "params.yaml")
        params["promote"] = PROMOTE | {"approval": "airflow"}
        (root / "params.yaml").write_text(json.dumps(params))
        shutil.copytree(ROOT / "dags", root / "dags", ignore=shutil.ignore_patterns("__pycache__"))
        register.main()
        try:
            services.up(root, ("api-server", "scheduler", "dag-processor"))
            yield root
        finally:
            services.down(root)


@pytest.fixture
def airflow(root: Path) -> Iterator[Airflow]:
    with Airflow(services.status(root)["api-server"].url, password(root)) as api:
        deadline = time.monotonic() + WAIT_S
        while not api.known(DAG):
            assert time.monotonic() < deadline, api.import_errors()
            time.sleep(0.5)
        api.unpause(DAG)
        yield api


def _states(airflow: Airflow, run_id: str) -> dict[str, str]:
    return {task["task_id"]: task["state"] for task in airflow.tasks(DAG, run_id)}


def _asked(airflow: Airflow) -> tuple[str, dict[str, Any]]:
    """Trigger the DAG; the run and what its approver is shown."""
    run_id, deadline = airflow.trigger(DAG), time.monotonic() + WAIT_S
    while _states(airflow, run_id)["approve"] != "awaiting_input":  # asked, and its worker has ended
        assert time.monotonic() < deadline, _states(airflow, run_id)
        time.sleep(1)
    time.sleep(2)  # Airflow 3.3 loses an answer that comes while its scheduler still notes the pause
    where = f"dags/{DAG}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"
    shown: dict[str, Any] = airflow.call("GET", where)
    return run_id, shown


def _answer(airflow: Airflow, run_id: str, chosen: str) -> None:
    where = f"dags/{DAG}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"
    airflow.call("PATCH", where, {"chosen_options": [chosen], "params_input": {}})


def _ended(airflow: Airflow, run_id: str) -> dict[str, str]:
    deadline = time.monotonic() + WAIT_S
    while (state := airflow.state(DAG, run_id)) not in ("success", "failed"):
        assert time.monotonic() < deadline, _states(airflow, run_id)
        time.sleep(1)
    states = _states(airflow, run_id)
    logs = {task["task_id"]: airflow.log(DAG, run_id, task)[-15:] for task in airflow.tasks(DAG, run_id)}
    print(states, json.dumps(logs, indent=1))  # shown where a test fails
    assert state == "success"
    return states


def _champion() -> registry.Version | None:
    return registry.get_version("luthier", "champion")


def _other_model(root: Path, tuned: float) -> int:
    (root / "models/tuned/README.md").write_text(f"trained again, {tuned}")
    write_scores(root, 0.3, tuned)
    register.main()
    found = registry.get_version("luthier", "challenger")
    assert found is not None
    return found.number


def test_a_no_by_rest_is_written_on_the_version_and_a_yes_moves_the_alias(root: Path, airflow: Airflow) -> None:
    run_id, shown = _asked(airflow)
    assert shown["subject"] == "May version 1 of 'luthier' become champion?"
    assert "summarise" in shown["body"]
    assert [user["id"] for user in shown["assigned_users"]] == ["admin"]
    assert shown["defaults"] == ["Reject"]
    _answer(airflow, run_id, "Reject")
    assert _ended(airflow, run_id) == {
        "gate": "success",
        "approve": "success",
        "promote": "skipped",
        "reject": "success",
    }
    version = registry.get_version("luthier", "1")
    assert version is not None
    assert (version.tags["luthier.verdict"], _champion()) == ("rejected by admin", None)

    run_id, shown = _asked(airflow)
    assert _champion() is None  # it only looked
    _answer(airflow, run_id, "Approve")
    assert _ended(airflow, run_id) == {
        "gate": "success",
        "approve": "success",
        "promote": "success",
        "reject": "skipped",
    }
    champion = _champion()
    assert champion is not None
    approval = json.loads(champion.tags["luthier.approval"])
    assert (approval["by"], approval["decision"], approval["airflow_run"]) == ("admin", "approve", run_id)
    kept = [file.path for file in server.client().list_artifacts(champion.run_id, "packets")]
    assert f"packets/{approval['packet_sha256']}.md" in kept

    run_id = airflow.trigger(DAG)  # nothing to decide
    assert set(_ended(airflow, run_id).values()) == {"skipped"}


def test_a_champion_that_came_while_a_person_thought_makes_their_yes_void(root: Path, airflow: Airflow) -> None:
    two = _other_model(root, 0.8)
    run_two, _ = _asked(airflow)
    three = _other_model(root, 0.95)
    run_three, _ = _asked(airflow)  # not kept waiting by the first
    _answer(airflow, run_three, "Approve")
    _ended(airflow, run_three)
    _answer(airflow, run_two, "Approve")
    deadline = time.monotonic() + WAIT_S
    while airflow.state(DAG, run_two) not in ("success", "failed"):
        assert time.monotonic() < deadline
        time.sleep(1)
    assert _champion().number == three != two  # type: ignore[union-attr]
    (task,) = [task for task in airflow.tasks(DAG, run_two) if task["task_id"] == "promote"]
    assert task["state"] == "failed"
    assert any("is not what there is now" in line for line in airflow.log(DAG, run_two, task))


def test_a_person_approves_on_the_page(root: Path, airflow: Airflow) -> None:
    browser = _browser()
    four = _other_model(root, 0.99)
    run_id, _ = _asked(airflow)
    try:
        _approve_on_the_page(browser, airflow.url, run_id, password(root))
    finally:
        browser.quit()
    _ended(airflow, run_id)
    assert _champion().number == four  # type: ignore[union-attr]


def _browser() -> Any:
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("no chromium and chromedriver on this machine: apt-get install chromium chromium-driver")
    from selenium import webdriver  # noqa: PLC0415  the browser is optional

    options = webdriver.ChromeOptions()
    for switch in ("--headless=new", "--no-sandbox", "--window-size=1400,2200", "--disable-gpu"):
        options.add_argument(switch)
    return webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))


def _approve_on_the_page(browser: Any, url: str, run_id: str, secret: str) -> None:
    from selenium.webdriver.common.by import By  # noqa: PLC0415
    from selenium.webdriver.support import expected_conditions  # noqa: PLC0415
    from selenium.webdriver.support.ui import WebDriverWait  # noqa: PLC0415

    there, clickable = expected_conditions.presence_of_element_located, expected_conditions.element_to_be_clickable

    wait = WebDriverWait(browser, 60)
    browser.get(f"{url}/dags/{DAG}/runs/{run_id}/tasks/approve/required_actions")
    wait.until(there((By.NAME, "username"))).send_keys("admin")
    browser.find_element(By.NAME, "password").send_keys(secret)
    browser.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
    approve = wait.until(clickable((By.XPATH, "//button[normalize-space()='Approve']")))
    shown = browser.find_element(By.TAG_NAME, "body").text
    assert "What the gate looked at" in shown
    assert "summarise rouge1" in shown
    if kept := os.environ.get("LUTHIER_PICTURES"):
        browser.save_screenshot(str(Path(kept) / "approval_page.png"))
    browser.execute_script("arguments[0].scrollIntoView()", approve)
    approve.click()
    wait.until(lambda _: browser.find_elements(By.XPATH, "//button[normalize-space()='Approve' and @disabled]"))
