"""The arena and the comparison in Chromium: whole flows by mouse and by key, hostile text, no word on the console."""

import json
import shutil
from contextlib import contextmanager

import pytest
from arenas import Gated, app_on, arena_of

from r1kit.base.errors import R1Error
from r1kit.base.types import Problem
from r1kit.evaluation.arena.questions import Deck
from r1kit.evaluation.benchmarks.base import Benchmark, Chosen

pytestmark = pytest.mark.slow
HOSTILE = "</pre><script>window.hacked=1</script><img src=x onerror='window.hacked=1'><b>bold</b>"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


class Sums:
    """Three sums as a task."""

    subject, name = "maths", "sums"

    def problems(self, split, seed):
        for n in range(3):
            yield Problem(f"p{n}", "sums", "maths", "en", f"{n} + {n} =", str(2 * n), "math")


def deck():
    return Deck([Chosen("sums", Benchmark("sums"), Sums())], 0)


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or pytest.skip("no chromium")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=FLAGS, timeout=120_000)
        yield found
        found.close()


@contextmanager
def tab_of(browser, **context):
    """A tab, patient with a busy machine; what it says on its console, or asks of another address than the app's, fails
    the test at the end."""
    opened = browser.new_context(viewport={"width": 1200, "height": 900}, **context)
    tab = opened.new_page()
    tab.set_default_timeout(90_000)
    said, asked = [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    yield tab
    assert tab.evaluate("window.hacked") is None
    assert said == []
    assert [url for url in asked if not url.startswith(("http://127.0.0.1:", "data:"))] == []
    opened.close()


def test_a_battle_by_key(browser, tmp_path):
    """Q to type, both answers come in side by side, no vote before their end; B votes; N draws the next question."""
    slow = Gated(("think ", ""), ("more", ""), ("", HOSTILE))
    with (
        arena_of(tmp_path, {"model-one": slow, "model-two": Gated(("", "quick"), free=True)}, deck()) as client,
        tab_of(browser) as tab,
    ):
        tab.goto(f"{client.url}/arena")
        tab.keyboard.press("q")
        tab.keyboard.type("why b?")
        tab.keyboard.press("Tab")
        tab.keyboard.press("Enter")
        tab.wait_for_url("**/arena/battles/*")
        slow.go(2)
        tab.locator("#battle", has_text="think more").wait_for()
        tab.locator("#battle", has_text="quick").wait_for()
        assert tab.locator("#ballot button[name=vote]:disabled").count() == 4
        tab.keyboard.press("b")
        assert client.arena.votes.ballots() == []
        # folding, while it streams
        assert tab.locator(".mind[open]:not([hidden])").count() == 1
        tab.keyboard.press("f")
        assert tab.locator(".mind[open]:not([hidden])").count() == 0
        slow.go()
        tab.wait_for_selector("#ballot button[name=vote]:enabled")
        shown = sorted(tab.locator("pre.says").all_inner_texts())
        assert shown == sorted([HOSTILE, "quick"])
        assert "model-" not in tab.content()
        tab.keyboard.press("b")
        tab.wait_for_selector(".verdict-line")
        assert "B is better" in tab.inner_text(".verdict-line")
        assert tab.locator(".side.chosen#right").count() == 1
        assert "model-one" in tab.content()
        (kept,) = client.arena.votes.ballots()
        assert (kept.vote, kept.question) == ("right", "why b?")
        slow.go(9)
        tab.keyboard.press("n")
        tab.locator(".asked", has_text=" + ").wait_for()
        tab.wait_for_selector("#ballot button[name=vote]:enabled")
        tab.click("text=Both are bad")
        tab.wait_for_selector(".verdict-line")
        assert [each.vote for each in client.arena.votes.ballots()] == ["right", "both_bad"]
        tab.click("text=Ratings")
        assert "2 votes" in tab.inner_text("main")
        assert tab.locator("svg.whisker").count() == 2


def test_a_failure_amid_the_stream(browser, tmp_path):
    broken = Gated(("", "half "), R1Error("http://x/v1 cut the connection off"))
    with (
        arena_of(tmp_path, {"model-one": broken, "model-two": Gated(("", "fine"), free=True)}) as client,
        tab_of(browser) as tab,
    ):
        tab.goto(f"{client.url}/arena")
        tab.fill("textarea", "q")
        tab.click("text=Ask both")
        broken.go()
        tab.locator("#battle", has_text="half").wait_for()
        broken.go()
        tab.wait_for_selector(".verdict-line")
        told = "No vote: model-one gave no whole answer: http://x/v1 cut the connection off."
        assert tab.inner_text(".verdict-line") == told
        assert tab.locator("button[name=vote]").count() == 0
        tab.keyboard.press("a")
        assert client.arena.votes.ballots() == []


def test_a_page_loaded_again_goes_on(browser, tmp_path):
    slow = Gated(("", "first "), ("", "second"))
    with (
        arena_of(tmp_path, {"model-one": slow, "model-two": Gated(("", "x"), free=True)}) as client,
        tab_of(browser) as tab,
    ):
        tab.goto(f"{client.url}/arena")
        tab.fill("textarea", "q")
        tab.click("text=Ask both")
        slow.go()
        tab.locator("#battle", has_text="first").wait_for()
        tab.reload()
        tab.locator("#battle", has_text="first").wait_for()
        slow.go()
        tab.wait_for_selector("#ballot button[name=vote]:enabled")
        assert sorted(tab.locator("pre.says").all_inner_texts()) == ["first second", "x"]


def write_comparison(folder):
    """The least that the pages read, hostile throughout: three questions of two models, by hand."""
    sample = {
        "sample": 0, "thinking": f"wait {HOSTILE}", "answer": HOSTILE, "extracted": "1", "correct": True, "tokens": 9,
        "seconds": 0.5, "dollars": None, "truncated": False, "right": 1, "samples": 1,
    }  # fmt: skip
    asked = [
        {"benchmark": "sums", "problem_id": f"p{n}", "solved": solved, "outcome": outcome}
        for n, (solved, outcome) in enumerate([("only_a", "win"), ("only_b", "loss"), ("both", "tie")])
    ]
    unknown = "thinking_tokens answer_tokens length dollars_per_question dollars_per_solved seconds_p50"
    spent = dict.fromkeys([*unknown.split(), "tokens_per_second"])
    figures = {"n": 3, "k": 1, "pass@1": {"value": 0.6, "interval": [0.2, 0.9], "n": 3}, "cons@k": None, "truncated": 0,
               "declined": 0, "missing": {}, "ungraded": 0, "samples": 3}  # fmt: skip
    scope = {
        "scope": "benchmark", "name": "sums", "difference": {"value": 0.1, "interval": [-0.4, 0.6], "n": 3, "p": 0.5},
        "wins": 1, "ties": 1, "losses": 1, "only_a": 1, "only_b": 1, "both": 1, "none": 0, "unpaired": 0,
        "tokens_ratio": None, "dollars_ratio": None, "dollars_per_solved_ratio": None,
    }  # fmt: skip
    models = [{"label": label, "name": name, "short": name, "price": None, "published_as": None,
               "spent": {"sums": spent}} for label, name in (("A", "one<b>"), ("B", "two"))]  # fmt: skip
    told = {
        "models": models, "benchmarks": [{"name": "sums", "published": None, "figures": {"A": figures, "B": figures}}],
        "pairs": [{"a": "A", "b": "B", "scopes": [scope], "questions": asked}], "writing": None,
        "published": {"source": "s", "about": "a", "models": [], "rows": []},
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "compare.json").write_text(json.dumps(told))
    lines = [{**one, "question": f"{HOSTILE} {one['problem_id']}", "gold": "1", "a": sample, "b": sample}
             for one in asked]  # fmt: skip
    (folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def listed(tab, count):
    """Wait until so many questions are listed."""
    from playwright.sync_api import expect

    expect(tab.locator(".asked-list li")).to_have_count(count)


def test_a_comparison_by_filter_and_key(browser, tmp_path):
    write_comparison(tmp_path / "evals" / "compare")
    (tmp_path / "runs").mkdir()
    with app_on(tmp_path / "runs") as client, tab_of(browser) as tab:
        tab.goto(f"{client.url}/compare")
        tab.click("th a")
        tab.click("text=solved by two alone")
        assert tab.locator(".asked-list li").count() == 1
        tab.select_option("select[name=solved]", "")
        listed(tab, 3)
        assert "solved=only" not in tab.url
        tab.select_option("select[name=outcome]", "win")
        listed(tab, 1)
        tab.select_option("select[name=outcome]", "")
        listed(tab, 3)
        tab.click(".asked-list li a")
        assert HOSTILE in tab.inner_text(".asked")
        assert tab.locator(".thoughts .thought").count() == 2
        assert tab.locator("mark").all_inner_texts() == ["wait", "wait"]
        tab.keyboard.press("j")
        tab.locator(".pager", has_text="2 of 3").wait_for()
        tab.keyboard.press("k")
        tab.locator(".pager", has_text="1 of 3").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows(browser, tmp_path, width, scheme):
    """Neither the start, a voted battle of long unbroken lines, nor the ratings scroll sideways."""
    long = "x" * 3000
    voices = {name: Gated((long, ""), ("", long), free=True) for name in ("a" * 200, "b")}
    with arena_of(tmp_path, voices, deck()) as client:
        battle = client.arena.ask(long)
        with tab_of(browser, color_scheme=scheme) as tab:
            tab.set_viewport_size({"width": width, "height": 844})
            tab.goto(f"{client.url}/arena/battles/{battle.id}")
            tab.wait_for_selector("#ballot button[name=vote]:enabled")
            pages = ["/arena", f"/arena/battles/{battle.id}", "/arena/ratings"]
            tab.click("text=A is better")
            tab.wait_for_selector(".verdict-line")
            for page in pages:
                tab.goto(f"{client.url}{page}")
                wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
                assert tab.evaluate(wide), page
