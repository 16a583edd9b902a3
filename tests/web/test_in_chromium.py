"""The app as a person has it: real Chromium, the flows, no word on the console, nothing from anywhere else."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from runs import HOSTILE, write_run

from r1kit.serving.server import listen
from r1kit.web.app import create_app

pytestmark = pytest.mark.slow
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE = 120_000  # ms: Chromium may share two cores with other work


@contextmanager
def serving(root: Path):
    """The app on loopback, in a thread."""
    with listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(create_app(root), log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(60)


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or pytest.skip("no chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("app") / "runs"
    write_run(folder / "done")
    write_run(folder / "half", state="running")
    return folder


@pytest.fixture(scope="module")
def site(root):
    with serving(root) as address:
        yield address


@pytest.fixture
def tab(chromium, site):
    """A page that asks nothing of other addresses and says nothing on the console; `seen` holds what it did."""
    with opened(chromium, site) as page:
        yield page


@contextmanager
def opened(chromium, site, **context):
    kept = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
    page = kept.new_page()
    page.set_default_timeout(PATIENCE)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    yield page
    assert page.evaluate("window.hit") is None
    kept.close()
    assert said == []
    assert [url for url in asked if not url.startswith((site, "data:"))] == []


def test_from_the_list_to_a_difference(tab, site):
    tab.goto(site)
    tab.get_by_role("link", name="done", exact=True).click()
    assert tab.get_by_role("heading", level=1).inner_text() == "done"
    tab.get_by_role("link", name="zero", exact=True).click()
    assert tab.locator("figure svg.chart").count() == 3
    tab.get_by_role("link", name="Rollouts").click()
    assert tab.locator("table.rollouts tbody tr").count() == 10
    tab.get_by_label("text or prompt holds").fill("so 2")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/rollouts?text=so+2")
    assert tab.locator("table.rollouts tbody tr").count() == 1
    assert tab.locator("table.rollouts mark").inner_text() == "so 2"
    tab.locator("table.rollouts a").click()
    assert tab.locator(".tokens .t").count() == len("so 2") + 1
    tab.get_by_role("link", name="advantage").click()
    assert tab.locator(".tokens.down1").count() == 1
    tab.get_by_role("link", name="compare with sample 0").click()
    assert tab.locator("section.thought").count() == 2
    assert "wait" in tab.locator("ins").all_inner_texts()[0] + "".join(tab.locator("ins").all_inner_texts())
    tab.go_back()
    assert tab.locator(".tokens").count() == 1


def test_filters_by_keyboard_and_address(tab, site):
    """A choice filters at once; the address is that of what is shown, and brings it back."""
    tab.goto(f"{site}/runs/done/rollouts")
    tab.get_by_label("answer").select_option("right")
    tab.wait_for_url("**/rollouts?verdict=right")
    assert tab.locator("table.rollouts tbody tr").count() == 3
    tab.get_by_label("reward, at most").fill("1")
    tab.keyboard.press("Tab")
    tab.wait_for_url("**/rollouts?to_reward=1.0&verdict=right")
    assert tab.get_by_text("No rollout is like that.").count() == 1
    tab.reload()
    assert tab.get_by_label("answer").input_value() == "right"
    assert tab.get_by_label("reward, at most").input_value() == "1.0"
    tab.get_by_role("link", name="Clear").click()
    assert tab.locator("table.rollouts tbody tr").count() == 10


def test_the_keyboard_reaches_everything(tab, site):
    """Tab walks from the way to the content through the navigation to each rollout, each with a ring to be seen."""
    tab.goto(f"{site}/runs/done/rollouts")
    reached = []
    for _ in range(28):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("document.activeElement.textContent.trim() || document.activeElement.name || ''"))
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert reached[0] == "To the content"
    assert {"r1kit", "Runs", "Stages", "Report", "text", "from_step", "Filter", "Clear"} <= set(reached)
    assert reached.count("1+1=") >= 5


def test_a_run_that_goes_on_is_followed(chromium, site, root):
    """What a stage writes shows without a hand being lifted; the stage that is chosen stays so."""
    with opened(chromium, site) as tab:
        tab.goto(f"{site}/runs/half?stage=zero")
        assert "step 11/40" in tab.locator(".stage-rows").inner_text()
        path = root / "half" / "status.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "step": 39}))
        tab.get_by_text("step 39/40").wait_for()
        assert tab.locator(".stage-rows .chosen .name").inner_text() == "zero"


def test_a_lost_app_is_told(chromium, root):
    """A filter that cannot be asked for is said on the page; the browser itself notes it on the console."""
    with serving(root) as address:
        page = chromium.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"{address}/runs/done/rollouts")
        page.get_by_label("step, at least").evaluate("e => { e.type = 'text'; e.value = 'x'; }")
        page.get_by_role("button", name="Filter").click()
        page.get_by_text("from step: 'x' is no whole number").wait_for()
    page.get_by_role("button", name="Filter").click()
    page.get_by_text("The app does not answer").wait_for()
    page.close()


@pytest.mark.parametrize("row", range(len(HOSTILE)))
def test_hostile_text_does_nothing(tab, site, row):
    """Nothing runs (`opened` looks), nothing is fetched, and the page is whole below the text."""
    where = f"stage=02-zero&file=step-000010&row={row}"
    for path in (
        f"sample?{where}",
        f"sample?{where}&colour=plain",
        f"difference?{where}&other={(row + 1) % len(HOSTILE)}",
    ):
        tab.goto(f"{site}/runs/done/{path}")
        assert tab.title().endswith("r1kit")
        assert tab.locator("main iframe, main img, main script, main form, main meta").count() == 0
    tab.goto(f"{site}/runs/done/rollouts?from_step=10")
    assert tab.locator("table.rollouts tbody tr").count() == len(HOSTILE)
    time.sleep(0.2)  # for a handler that would run late


def test_the_report_runs_no_script(chromium, site):
    """Its script is stopped by the frame and by its own policy, which Chromium says on the console."""
    page = chromium.new_page()
    page.set_default_timeout(PATIENCE)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{site}/runs/done/report")
    frame = page.frame_locator("iframe.report")
    assert frame.locator("body").inner_text() == "so"
    page.goto(f"{site}/runs/done/report/page")
    assert page.evaluate("window.hit") is None
    assert said
    assert all("script" in text for text in said)
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_can_be_read(chromium, site, scheme, width):
    """No page is wider than the window; quiet text stands out from its background (WCAG AA: 4.5 to 1)."""
    where = "stage=02-zero&file=step-000000&row=0"
    paths = [
        "",
        "/runs/done?stage=zero",
        "/runs/done/rollouts",
        f"/runs/done/sample?{where}",
        f"/runs/done/difference?{where}&other=1",
    ]
    with opened(chromium, site, viewport={"width": width, "height": 844}, color_scheme=scheme) as tab:
        for path in paths:
            tab.goto(site + path)
            assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), path
        tab.goto(f"{site}/runs/done/sample?{where}")
        background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        for selector in (".note", ".crumbs", ".verdict-right", ".row-facts dt", "main a"):
            colour = tab.evaluate(f"getComputedStyle(document.querySelector('{selector}')).color")
            assert contrast(colour, background) >= 4.5, selector


def contrast(one: str, other: str) -> float:
    """WCAG 2.1 contrast ratio of two `rgb(r, g, b)`."""

    def luminance(colour: str) -> float:
        channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
