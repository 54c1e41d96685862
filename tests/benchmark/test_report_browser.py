"""The page in a real browser: two widths, light and dark, mouse and keyboard; nothing is loaded, nothing complains.

`FACINGS_PICTURES=FOLDER` keeps what was photographed, `FACINGS_REPORT=FILE` is photographed instead of the miniature shop:

    FACINGS_REPORT=logs/quickstart/TIME/benchmark/report.html FACINGS_PICTURES=docs pytest tests/benchmark/test_report_browser.py
"""

import base64
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from facings.commands.benchmark import run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="no browser here: apt-get install chromium chromium-driver"
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
HEIGHT = 900
# Of a picture in the docs: bytes.
LARGEST = 200_000
Open = Callable[..., webdriver.Chrome]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: webdriver.Chrome) -> Open:
    """The page at a width in pixels, light or dark, its logs emptied before."""

    def open_page(page: Path, width: int = 1200, dark: bool = False) -> webdriver.Chrome:
        size = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        # What the page would scroll to softly it goes to at once, so that a click finds its place.
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        for name in ("browser", "performance"):
            browser.get_log(name)
        browser.get(page.as_uri())
        return browser

    return open_page


@pytest.fixture(scope="module")
def pages(
    benchmark_run: Path, benchmark_config: Callable[..., DictConfig], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The report of frames and crops, and one of crops alone."""
    folder = tmp_path_factory.mktemp("crops")
    run(benchmark_config(folder, "data.annotations=null"))
    return {"frames": benchmark_run / "report.html", "crops": folder / "report.html"}


@pytest.mark.parametrize("name", ["frames", "crops"])
@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_and_asks_for_nothing(pages: dict[str, Path], opened: Open, name: str, width: int, dark: bool) -> None:
    driver = opened(pages[name], width, dark)
    assert driver.execute_script("return document.documentElement.scrollWidth") == width
    pixels = np.asarray(shot(driver).convert("L"), np.float64)
    paper = np.median(pixels)
    assert paper < 60 if dark else paper > 220
    assert pixels.std() > 8  # not an empty page
    # Nothing sticks out on the right: the last columns are paper.
    assert np.abs(pixels[:, -4:] - paper).max() < 3
    assert driver.get_log("browser") == []
    page, *loaded = requests(driver, pages[name].as_uri())
    assert page == driver.current_url and all(address.startswith("data:") for address in loaded)


def test_tables_sort_by_click_and_by_keyboard(benchmark_run: Path, opened: Open) -> None:
    driver = opened(benchmark_run / "report.html")
    table = driver.find_element(By.CSS_SELECTOR, "[aria-label='Products'] table")
    names = column(table, 0)
    head = next(cell for cell in table.find_elements(By.CSS_SELECTOR, "thead th") if cell.text.startswith("Objects"))
    head.find_element(By.TAG_NAME, "button").click()
    assert head.get_attribute("aria-sort") == "descending"
    numbers = [int(text) for text in column(table, 2)]
    assert len(numbers) > 2 and numbers == sorted(numbers, reverse=True) and len(set(numbers)) > 1
    first = table.find_element(By.CSS_SELECTOR, "thead th button")
    first.send_keys(Keys.ENTER)
    assert column(table, 0) == sorted(names)
    first.send_keys(Keys.SPACE)
    assert column(table, 0) == sorted(names, reverse=True)
    assert head.get_attribute("aria-sort") is None
    assert driver.get_log("browser") == []


def test_tables_of_crops_sort_by_keyboard(pages: dict[str, Path], opened: Open) -> None:
    driver = opened(pages["crops"])
    table = driver.find_element(By.CSS_SELECTOR, "[aria-label='Crops by products'] table")
    head = next(cell for cell in table.find_elements(By.CSS_SELECTOR, "thead th") if cell.text.startswith("R@1"))
    head.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    shares = column(table, 3)
    # What is not enrolled has none, and goes last.
    assert shares[-1] == "–" and shares[:-1] == sorted(shares[:-1], reverse=True) and len(set(shares)) > 2
    trio = driver.find_element(By.CSS_SELECTOR, "figure.trio")
    sides = trio.find_elements(By.CSS_SELECTOR, ":scope > div > div")
    assert len(sides) == 3 and len({side.rect["y"] for side in sides}) == 1
    assert driver.get_log("browser") == []


def test_long_tables_are_filtered(benchmark_run: Path, tmp_path: Path, opened: Open) -> None:
    """The shop's table of frames with its rows many times over, as a larger data set has them."""
    text = (benchmark_run / "report.html").read_text(encoding="utf-8")
    start = text.index("<tbody>", text.index('aria-label="All frames"')) + len("<tbody>")
    end = text.index("</tbody>", start)
    (tmp_path / "long.html").write_text(text[:start] + text[start:end] * 10 + text[end:], encoding="utf-8")
    driver = opened(tmp_path / "long.html")
    table = driver.find_element(By.CSS_SELECTOR, "[aria-label='All frames'] table")
    field = driver.find_element(By.CSS_SELECTOR, "input[aria-label='Filter: All frames']")
    more, told = (driver.find_element(By.CSS_SELECTOR, f".filter {name}") for name in ("button", "[role=status]"))
    assert (len(shown(table)), told.text, more.text) == (12, "12 of 40", "Show all 40")
    more.click()
    assert len(shown(table)) == 40 and more.text == "Show fewer"
    field.send_keys("002.PNG")
    assert [row.text.split()[0] for row in shown(table)] == ["002.png"] * 10 and told.text == "10 of 40"
    field.send_keys(" nothing")
    assert shown(table) == []
    assert driver.get_log("browser") == []


def test_pictures_hide_and_grow_and_the_dot_moves(benchmark_run: Path, opened: Open) -> None:
    driver = opened(benchmark_run / "report.html")
    marks = driver.find_elements(By.CSS_SELECTOR, "svg g[data-outcome='right']")
    assert marks and all(mark.value_of_css_property("display") != "none" for mark in marks)
    button = driver.find_element(By.CSS_SELECTOR, "li[data-outcome='right'] button")
    button.send_keys(Keys.SPACE)
    assert button.get_attribute("aria-pressed") == "false"
    assert {mark.value_of_css_property("display") for mark in marks} == {"none"}
    others = driver.find_elements(By.CSS_SELECTOR, "svg g[data-outcome]:not([data-outcome='right'])")
    assert others and all(mark.value_of_css_property("display") != "none" for mark in others)
    plate = driver.find_element(By.CSS_SELECTOR, "figure.plate")
    width = plate.size["width"]
    plate.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert plate.size["width"] > 1.5 * width
    slider = driver.find_element(By.CSS_SELECTOR, "figure.plot input")
    told = driver.find_element(By.CSS_SELECTOR, "figure.plot output")
    before = told.text
    assert before.startswith("0.30: recall ")
    slider.send_keys(Keys.END)
    assert told.text == "1.00: no box is so sure"
    slider.send_keys(Keys.HOME)
    # All ten objects but the one that was not painted.
    assert told.text.startswith("0.00: recall 0.9")
    assert driver.get_log("browser") == []


def test_names_cannot_run_anything(benchmark_run: Path, tmp_path: Path, opened: Open) -> None:
    """Even if a name were not escaped: the page's own policy lets no other script run."""
    text = (benchmark_run / "report.html").read_text(encoding="utf-8")
    text = text.replace("<main>", "<main><img src='data:,' onerror='window.hurt=1'><script>window.hurt=2</script>", 1)
    (tmp_path / "hurt.html").write_text(text, encoding="utf-8")
    driver = opened(tmp_path / "hurt.html")
    assert driver.execute_script("return window.hurt") is None
    assert driver.find_elements(By.CSS_SELECTOR, "button.sort")


def test_it_is_photographed(benchmark_run: Path, tmp_path: Path, opened: Open) -> None:
    page = Path(os.environ.get("FACINGS_REPORT") or benchmark_run / "report.html").resolve()
    folder = Path(os.environ.get("FACINGS_PICTURES") or tmp_path)
    shown = (("report", False, "header"), ("report_frames", True, "#frames"), ("report_crops", False, ".trios"))
    for name, dark, part in shown:
        driver = opened(page, 1200, dark)
        for plate in driver.find_elements(By.CSS_SELECTOR, "figure.plate button")[:1]:
            plate.click()
        if not driver.find_elements(By.CSS_SELECTOR, part):
            continue  # a report that was asked for has no such part
        driver.execute_script(f"document.querySelector('{part}').scrollIntoView()")
        picture = shot(driver)
        assert picture.size == (1200, HEIGHT)
        picture.save(folder / f"{name}.jpg", quality=80, optimize=True, progressive=True)
        assert (folder / f"{name}.jpg").stat().st_size < LARGEST


def shot(driver: webdriver.Chrome) -> Image.Image:
    """What the window shows."""
    found = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    return Image.open(io.BytesIO(base64.b64decode(found["data"]))).convert("RGB")


def requests(driver: webdriver.Chrome, page: str) -> list[str]:
    """Addresses that the page asked for, itself first; the browser's own first tab may still be asking, too."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [params["request"]["url"] for params in sent if params["documentURL"] == page]


def column(table: WebElement, place: int) -> list[str]:
    """Texts of a column, top down."""
    rows = table.find_elements(By.CSS_SELECTOR, "tbody tr")
    return [row.find_elements(By.CSS_SELECTOR, "th, td")[place].text for row in rows]


def shown(table: WebElement) -> list[WebElement]:
    return [row for row in table.find_elements(By.CSS_SELECTOR, "tbody tr") if row.is_displayed()]
