"""Airflow's and MLflow's pages as a person's eyes and hands use them, in headless Chromium.

    browser = start()
    sign_in(browser, url, secret)
    open_form(browser, url, "finetune_pipeline"); fill(browser, "finetune.seed", "7"); run = send(browser)

The names of elements are Airflow 3.3's own (data-testid), and its texts. Nothing here asks an API.
"""

import io
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

WAIT_S = 600  # for a whole run on a busy machine; a quiet one takes a minute
GRID = """
return Object.fromEntries([...document.querySelectorAll(`a[data-testid^="grid-${arguments[0]}-"]`)].map(link => [
    link.dataset.testid.slice(arguments[0].length + 6),
    getComputedStyle(link.querySelector("[data-testid=task-state-badge]")).backgroundColor]))
"""
ROWS = """
return Object.fromEntries([...document.querySelectorAll("tbody tr")].map(row => [...row.querySelectorAll("td")])
    .filter(cells => cells[3] && cells[3].innerText.trim())
    .map(cells => [cells[1].innerText.trim(), [cells[3].innerText.trim(),
        getComputedStyle(cells[3].querySelector(".chakra-badge") || cells[3]).backgroundColor]]))
"""


def required() -> None:
    """Skip the test where there is no browser."""
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("no chromium and chromedriver on this machine: apt-get install chromium chromium-driver")


def start() -> Any:
    """A browser."""
    from selenium import webdriver  # noqa: PLC0415  the browser is optional

    options = webdriver.ChromeOptions()
    for switch in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,900"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))


def sign_in(browser: Any, url: str, secret: str) -> None:
    """As the one user that Airflow has."""
    browser.get(url)
    for name, text in (("username", "admin"), ("password", secret)):
        there(browser, f"input[name={name}]").send_keys(text)
    there(browser, "button[type=submit]").click()
    there(browser, "a[href='/dags']")


def until(found: Callable[[], Any], what: str, browser: Any = None) -> Any:
    """Look again and again; what was found."""
    from selenium.common import exceptions  # noqa: PLC0415

    passing = (exceptions.NoSuchElementException, exceptions.StaleElementReferenceException)
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            if value := found():
                return value
        except passing:  # a page that is being drawn
            pass
        assert time.monotonic() < deadline, f"{what}: not on the page.\n{text(browser) if browser else ''}"
        time.sleep(0.5)


def text(browser: Any) -> str:
    """All that can be read on the page."""
    return str(browser.find_element("tag name", "body").text)


def reads(browser: Any, words: str) -> None:
    """Wait until it can be read on the page."""
    until(lambda: words in text(browser), f"'{words}'", browser)


def there(browser: Any, selector: str) -> Any:
    """Wait for what a person can see and touch."""

    def visible() -> Any:
        return next((one for one in browser.find_elements("css selector", selector) if one.is_displayed()), None)

    return until(visible, selector, browser)


def button(browser: Any, words: str) -> Any:
    """A button or link with these words, once there is one."""
    return until(lambda: buttons(browser, words), f"a button '{words}'", browser)[0]


def buttons(browser: Any, words: str) -> list[Any]:
    """Buttons and links with these words that may be pressed."""
    path = f"//*[self::button or self::a][contains(normalize-space(), '{words}')][not(@disabled)]"
    found: list[Any] = browser.find_elements("xpath", path)
    return found


def open_form(browser: Any, url: str, dag: str) -> Any:
    """The form that Airflow shows before it triggers a DAG."""
    browser.get(f"{url}/dags/{dag}")
    there(browser, "[data-testid=trigger-dag-button]").click()
    there(browser, "[name^='element_']")
    return there(browser, "[role=dialog][data-state=open]")


def fill(browser: Any, name: str, typed: str) -> None:
    """Type into a field of the form."""
    field = there(browser, f"[name='element_{name}']")
    field.click()
    field.send_keys(typed)


def send(browser: Any) -> str:
    """Trigger; the id of the run, whose page Airflow then shows."""
    there(browser, "[data-testid=trigger-dag-submit]").click()
    found = until(lambda: re.search(r"/runs/([^/?]+)", browser.current_url), "the page of the run", browser)
    return unquote(found[1])


def states(browser: Any) -> dict[str, str]:
    """What a run's page lists: each task's state, in words."""
    return {task: word for task, (word, _) in browser.execute_script(ROWS).items()}


def ended(browser: Any, page: str, run: str, state: str, tasks: list[str]) -> None:
    """Wait, on a run's page, until its tasks are in a state: in words in the list, and by that word's colour in the grid."""
    browser.get(page)

    def all_of_them() -> bool:
        rows, grid = browser.execute_script(ROWS), browser.execute_script(GRID, run)
        states = {task: word for task, (word, _) in rows.items()}
        assert not {"Failed", "Upstream Failed"} & set(states.values()), states
        colours = {colour for word, colour in rows.values() if word == state}
        listed = states == dict.fromkeys(tasks, state) and set(grid) == set(tasks)
        return listed and len(colours) == 1 and set(grid.values()) == colours

    until(all_of_them, f"every task in the state {state}", browser)


def press(browser: Any, found: Any) -> None:
    """Scroll to a button and press it."""
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
    until(found.is_enabled, "a button that can be pressed", browser)
    found.click()


def picture(shown: bytes, file: Path) -> None:
    """Keep a screenshot in few colours."""
    from PIL import Image  # noqa: PLC0415

    with Image.open(io.BytesIO(shown)) as taken:
        taken.convert("RGB").quantize(96, dither=Image.Dither.NONE).save(file, optimize=True)
