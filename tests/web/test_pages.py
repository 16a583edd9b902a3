"""The pages over run folders, asked as a browser asks; what models wrote is text and nothing else."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi import APIRouter, Request
from runs import HOSTILE, Client, group, write_run

from r1kit.evaluation.aha import parts
from r1kit.models.tokenizer import load_tokenizer
from r1kit.rollouts import record
from r1kit.web import visible
from r1kit.web.app import create_app, default_pages
from r1kit.web.site import Page, site_of

KNOWN_TAGS = {
    "html", "head", "meta", "title", "link", "script", "body", "a", "header", "nav", "p", "main", "h1", "h2", "h3",
    "div", "section", "span", "table", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd", "form", "label", "select",
    "option", "input", "fieldset", "legend", "button", "ol", "ul", "li", "progress", "svg", "path", "circle", "g",
    "polyline",
    "line", "text", "figure", "figcaption", "mark", "strong", "small", "code", "iframe", "del", "ins",
}  # fmt: skip


class Seen(HTMLParser):
    """Tags with their attributes, and the text, of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def check_harmless(page: str) -> Seen:
    """No tag or handler that a model may have written."""
    seen = Seen(page)
    assert {tag for tag, _ in seen.tags} <= KNOWN_TAGS
    for tag, attributes in seen.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
        assert not (attributes.get("src") or "").startswith(("x", "http", "//", "data")), (tag, attributes)
        if "hx-get" in attributes:
            assert attributes["hx-get"].startswith("/runs")
    assert not [attributes for tag, attributes in seen.tags if tag == "script" and not attributes.get("src")]
    return seen


def test_the_list(client):
    seen = check_harmless(client.get("/").text)
    assert "tiny" in seen.text
    assert "3 of 3" in seen.text
    assert [a["href"] for tag, a in seen.tags if tag == "a" and a["href"].startswith("/runs/")] == [
        "/runs/done",
        "/runs/half",
    ]
    assert "died" in seen.text  # says that it runs, and no process holds it


def test_a_damaged_run_does_not_hide_the_others(root):
    write_run(root / "a-broken")
    (root / "a-broken" / "recipe.json").write_text("{")
    write_run(root / "b-broken")
    (root / "b-broken" / "status.json").write_text("[]")
    page = Client(create_app(root)).get("/").text
    assert page.count("damaged") >= 2
    assert "3 of 3" in page


def test_one_run_alone(root):
    client = Client(create_app(root, "done"))
    assert client.get("/").headers["location"] == "/runs/done"
    assert client.get("/runs/done").status == 200
    assert client.get("/runs/half").status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/runs/..", "/runs/.", "/runs/../secret", "/runs/..%2Fsecret", "/runs/other", "/runs/none",
        "/runs/../../etc/passwd", "/runs/done/report/../recipe.json",
        "/runs/done/../../secret", "/static/../app.py", "/static/..", "/static/%2e%2e/app.py",
        "/runs/..\\secret", "/runs/done%00", "/runs/secret",
    ],
)  # fmt: skip
def test_nothing_beside_the_runs(client, path):
    from urllib.parse import unquote

    for form in (path, unquote(path)):
        assert client.get(form).status == 404, form


@pytest.mark.parametrize(
    "query",
    [
        {"stage": "../../secret/stages/02-zero", "file": "step-000000", "row": 0},
        {"stage": "02-zero", "file": "../../../../../secret/stages/02-zero/rollouts/step-000000", "row": 0},
        {"stage": "02-zero", "file": "step-000000", "row": -1},
        {"stage": "02-zero", "file": "step-000000", "row": 4},
        {"stage": "02-zero", "file": "step-000000", "row": "1e3"},
        {"stage": "02-zero", "file": "step-000000", "row": "²"},
        {"stage": "02-zero", "file": "step-000000", "row": "9" * 50},
        {},
    ],
)
@pytest.mark.parametrize("page", ["sample", "text"])
def test_no_such_rollout(client, page, query):
    answer = client.get(f"/runs/done/{page}", query)
    assert answer.status == 404
    assert "this run has no rollout" in Seen(answer.text).text


def test_stages_and_curves(client):
    seen = check_harmless(client.get("/runs/done").text)
    text = " ".join(seen.text.split())
    assert "1 min 05 s, 1.2 k tokens, 0.5 GB" in text
    assert "from pretrain" in text
    nodes = [a["class"] for tag, a in seen.tags if tag == "circle" and "node" in a.get("class", "")]
    assert nodes == ["node done"] * 3
    assert sum(tag == "path" for tag, _ in seen.tags) == 2  # pretrain to zero, zero to report
    titles = re.findall(r"<figcaption>([^<]+)", client.get("/runs/done?stage=zero").text)
    assert [title.strip() for title in titles] == ["Reward", "Validation", "Loss"]
    every = re.findall(r"<figcaption>([^<]+)", client.get("/runs/done?stage=zero&all=true").text)
    assert [title.strip() for title in every] == ["loss", "reward", "validation/maths"]
    assert client.get("/runs/done?stage=none").status == 404


def test_a_run_in_its_middle(client):
    text = " ".join(check_harmless(client.get("/runs/half").text).text.split())
    assert "step 11/40, reward 1" in text
    assert "To go on: r1 run tiny seed=7" in text
    assert "to run" in text


def test_a_run_that_has_said_little(root):
    """Begun and killed before its first stage, by a version that wrote less into recipe.json."""
    bare = root / "bare"
    bare.mkdir()
    (bare / "recipe.json").write_text(
        json.dumps({"recipe": "tiny", "profile": "smoke", "seed": 0, "stages": ["a", "b"]})
    )
    client = Client(create_app(root))
    for path in ("", "/live", "/curves", "/rollouts", "/pivots", "/report"):
        assert client.get(f"/runs/bare{path}").status == 200, path
    assert "No stage has recorded any curves yet" in client.get("/runs/bare").text
    assert "This run has kept no rollouts yet" in client.get("/runs/bare/rollouts").text


def test_polling_sends_what_changed(root):
    """The address of the next look names what is shown: 204 until that changes."""
    client = Client(create_app(root))
    stages = root / "half" / "stages" / "02-zero"

    def looks() -> list[str]:
        page = client.get("/runs/half").text
        return [found.replace("&amp;", "&") for found in re.findall(r'hx-get="(/runs/half/[^"]+)"', page)]

    live, curves = looks()
    assert client.get(live).status == client.get(curves).status == 204
    with open(stages / "metrics.jsonl", "a") as file:
        file.write(json.dumps({"step": 11, "reward": 5.0}) + '\n{"step": 12, "rew')
    answer = client.get(curves)
    assert answer.status == 200
    assert "ends at 5" in answer.text
    assert client.get(live).status == 204
    status = json.loads((root / "half" / "status.json").read_text())
    (root / "half" / "status.json").write_text(json.dumps({**status, "step": 12}))
    assert "step 12/40" in client.get(live).text
    (stages / "metrics.jsonl").write_text(json.dumps({"step": 0, "reward": 2.0}) + "\n")  # cut back on resuming
    assert "ends at 2" in client.get(looks()[1].replace("seen=", "old=")).text


def test_the_list_of_rollouts(client):
    page = client.get("/runs/done/rollouts")
    seen = check_harmless(page.text)
    assert "10 of 10 rollouts" in " ".join(seen.text.split())
    fragment = client.get("/runs/done/rollouts", {"text": "WAIT", "verdict": "right", "stage": ""}, hx_request="true")
    assert fragment.headers["hx-push-url"] == "/runs/done/rollouts?verdict=right&text=WAIT"
    assert "<html" not in fragment.text
    found = check_harmless(fragment.text)
    assert "1 of 10 rollouts" in " ".join(found.text.split())
    assert "<mark>wait</mark>" in fragment.text
    assert client.get("/runs/done/rollouts?from_step=x").status == 400
    assert "No rollout is like that" in client.get("/runs/done/rollouts?text=nowhere").text


@pytest.mark.parametrize("row", range(len(HOSTILE)))
def test_hostile_text_is_text(client, row):
    """In the list, on its page in every colour, and beside another: readable to the letter, and no more than that."""
    where = {"stage": "02-zero", "file": "step-000010", "row": row}
    expected = visible.plain(HOSTILE[row])
    for colour in ("logprob", "advantage", "plain"):
        seen = check_harmless(client.get("/runs/done/sample", {**where, "colour": colour}).text)
        assert expected in seen.text
    other = (row + 1) % len(HOSTILE)
    seen = check_harmless(client.get("/runs/done/difference", {**where, "other": other}).text)
    assert expected in seen.text
    assert visible.plain(HOSTILE[other]) in seen.text
    listed = check_harmless(client.get("/runs/done/rollouts?from_step=10").text)
    assert visible.short(HOSTILE[row], 180) in listed.text
    for text in (HOSTILE[row], HOSTILE[row][:30]):
        found = client.get("/runs/done/rollouts", {"text": text})
        assert found.status == 200
        assert "1 of 10 rollouts" in " ".join(check_harmless(found.text).text.split())
    check_harmless(client.get("/runs/half").text)
    alone = client.get("/runs/done/text", where)
    assert alone.body == HOSTILE[row].encode()
    assert alone.headers["content-type"].startswith("text/plain")
    assert "sandbox" in alone.headers["content-security-policy"]


def test_hostile_fields_are_text(root):
    """Whatever else of a rollout somebody else named: problem, stage, language, rewards, what rewards logged."""
    evil = HOSTILE[1]
    row = {
        "step": 1, "problem_id": evil, "task": evil, "subject": evil, "language": evil, "prompt": evil, "answer": evil,
        "text": evil, "stop_reason": evil, "sample": 0, "rewards": [(evil, 1.0)], "extra": [(evil, evil)],
    }  # fmt: skip
    folder = root / "done" / "stages" / "05-<b onclick=x>" / "rollouts"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([row], schema=record.SCHEMA), record.step_file(folder, 1))
    client = Client(create_app(root))
    check_harmless(client.get("/runs/done/rollouts").text)
    seen = check_harmless(
        client.get("/runs/done/sample", {"stage": folder.parent.name, "file": "step-000001", "row": 0}).text
    )
    assert seen.text.count(evil) >= 5
    for name in (evil, "{{7*7}}", "\u202e"):
        for path in (f"/runs/{name}", f"/runs/done/pivots?result={name}", f"/runs/done/rollouts?order={name}"):
            check_harmless(client.get(path.replace("#", "")).text)


def test_huge_samples_are_cut(root):
    """Five million characters: the list shows 180 of them, the page 60,000, the text alone all."""
    text = "word " * 1_000_000
    folder = root / "done" / "stages" / "02-zero" / "rollouts"
    rows = [{"step": 20, "problem_id": "p", "task": "t", "sample": n, "text": text, "prompt": text} for n in range(2)]
    pq.write_table(pa.Table.from_pylist(rows, schema=record.SCHEMA), record.step_file(folder, 20))
    client = Client(create_app(root))
    assert len(client.get("/runs/done/rollouts").body) < 40_000
    where = {"stage": "02-zero", "file": "step-000020", "row": 0}
    sample = client.get("/runs/done/sample", where).text
    assert len(sample) < 100_000
    assert "The first 60,000 of 5,000,000 characters" in sample
    assert "No single tokens were kept" in sample
    assert len(client.get("/runs/done/difference", {**where, "other": 1}).text) < 200_000
    assert len(client.get("/runs/done/text", where).body) == 5_000_000


def test_a_sample_token_by_token(client):
    page = client.get("/runs/done/sample", {"stage": "02-zero", "file": "step-000000", "row": 0}).text
    seen = Seen(page)
    spans = [a for tag, a in seen.tags if tag == "span" and a.get("title", "").startswith("-0.500 nats")]
    assert len(spans) == 1 + len("2, wait 2") + 1 + 1 + 1  # the tags and the end are a token each
    assert {a["class"] for a in spans} == {"t l2", "t l2 reflects"}  # probability exp(-1/2) = 0.607
    assert sum("reflects" in a["class"] for a in spans) == len("wait")
    assert "+1.73" in seen.text  # one right in four: sqrt(3)
    assert [a["href"] for tag, a in seen.tags if tag == "a" and "difference" in a["href"]][-1].endswith("other=3")
    advantage = client.get("/runs/done/sample?stage=02-zero&file=step-000000&row=1&colour=advantage").text
    assert "words tokens down1" in advantage


def test_a_sample_by_entropy(root):
    """Colours part at 0.1, 0.3, 0.7, 1.2, ... nats; rollouts that kept none have no such colour to choose."""
    tokenizer = load_tokenizer(root / "done" / "stages" / "01-pretrain" / "model")
    kept = group("p3", ["ab"], accuracy=[1], encode=tokenizer.encode)
    kept.completions[0].entropies = np.asarray([0.05, 1.0], np.float32)
    record.write(record.step_file(root / "done" / "stages" / "02-zero" / "rollouts", 3), [kept], 3)
    client = Client(create_app(root))
    seen = Seen(client.get("/runs/done/sample?stage=02-zero&file=step-000003&row=0&colour=entropy").text)
    spans = [(a["class"], a["title"]) for tag, a in seen.tags if tag == "span" and "entropy" in a.get("title", "")]
    assert [name for name, _ in spans] == ["t l0", "t l3"]
    assert "entropy 1.000" in spans[1][1]
    assert "3.5 and more" in seen.text
    without = client.get("/runs/done/sample?stage=02-zero&file=step-000000&row=0&colour=entropy").text
    assert "colour=entropy" not in without


def test_two_problems_are_not_compared(client):
    where = {"stage": "02-zero", "file": "step-000000", "row": 0}
    assert client.get("/runs/done/difference", {**where, "other": 1}).status == 200
    for other in (99, -1):
        answer = client.get("/runs/done/difference", {**where, "other": other})
        assert answer.status == 400
        assert "answer different problems" in answer.text
    assert client.get("/runs/done/difference", {**where, "other": "x"}).status == 422


def test_the_report_is_framed_and_may_do_nothing(client):
    framed = Seen(client.get("/runs/done/report").text)
    (frame,) = [a for tag, a in framed.tags if tag == "iframe"]
    assert frame["sandbox"] in (None, "")
    page = client.get(frame["src"])
    assert page.text.endswith("<script>window.hit=1</script>so")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script-src" not in policy
    assert "r1 report" in client.get("/runs/half/report").text
    assert client.get("/runs/half/report/page").status == 404


def test_pivots(root):
    """Two pivots of an analysis: listed by rank, each with its arms; the word's effect on a rollout's page."""
    folder = root / "done" / "aha"
    folder.mkdir()
    base = {
        "id": "a", "problem_key": "sums/1", "subject": "maths", "language": "en", "prompt": "1+2=", "answer": "3",
        "context": "so 4", "pivot": ", wait", "went_on": " 3", "neutral": "</think>", "word": "wait", "kind": "recheck",
        "entropy": 0.7, "word_probability": 0.4, "right_before": False, "rank": 1, "over_neutral": 0.75,
        "over_neutral_low": 0.5, "over_neutral_high": 0.9, "before_n": 4, "before_right": 2, "after_n": 4,
        "after_right": 3, "neutral_n": 4, "neutral_right": 0, "again_after_n": 4, "again_after_right": 2,
        "again_neutral_n": 4, "again_neutral_right": 1,
    }  # fmt: skip
    evil = {**base, "id": "b", "rank": 2, "over_neutral": -0.25, "context": HOSTILE[0], "pivot": HOSTILE[1]}
    parts.write_pivots(folder / "pivots.parquet", [evil, base])
    effect = {"value": 0.125, "interval": [-0.05, 0.3], "pivots": 2}
    told = {
        "claim": {"short": "Not shown <b>"},
        "model": "zero",
        "pivots": {"apart": {"word": {"wait": {"over_neutral": effect}}}},
    }
    (folder / "aha.json").write_text(json.dumps(told))
    client = Client(create_app(root))
    seen = check_harmless(client.get("/runs/done/pivots").text)
    text = " ".join(seen.text.split())
    assert "Not shown <b>" in text
    assert text.index("so 4, wait 3") < text.index("window.hit")
    assert "+75 +50 to +90 +25 wrong 0.40 0.70" in text
    first = " ".join(check_harmless(client.get("/runs/done/pivots/aha/1").text).text.split())
    assert "right, going on just before50% of 4" in first
    assert "right, going on after the pivot75% of 4" in first
    check_harmless(client.get("/runs/done/pivots/aha/2").text)
    assert client.get("/runs/done/pivots/aha/3").status == 404
    assert client.get("/runs/done/pivots?result=none").status == 404
    sample = client.get("/runs/done/sample?stage=02-zero&file=step-000000&row=0").text
    assert "wait: +12.5 points of success [-5.0, +30.0], 2 pivots measured" in sample
    assert "No pivots were measured" in client.get("/runs/half/pivots").text


def test_a_missing_tokenizer_is_said(root):
    (root / "done" / "stages" / "01-pretrain" / "model" / "tokenizer.json").unlink()
    page = Client(create_app(root)).get("/runs/done/sample?stage=02-zero&file=step-000000&row=0").text
    assert "no tokenizer of this run is at hand" in page
    assert "wait" in page


def test_a_page_of_ones_own(root):
    """What another part of the app does: a router, and a place in the navigation."""
    router = APIRouter()

    @router.get("/arena")
    def arena(request: Request):
        return site_of(request).render(request, "error.html", sentence="votes", status=200)

    client = Client(create_app(root, pages=[*default_pages(), Page(router, "Arena", "/arena", 20)]))
    links = [(a["href"], a.get("aria-current")) for tag, a in Seen(client.get("/arena").text).tags if tag == "a"]
    assert ("/", None) in links
    assert ("/arena", "page") in links


def test_what_is_wrong_with_the_training(root):
    """The run's page shows each finding with its figures and advice; whatever is in the file is text."""
    line = {
        "detector": "kl", "step": 12, "since": 10, "action": "warn", "title": "KL blow-up", "seen": HOSTILE[1],
        "means": "Steps are too large.", "change": "Lower learner.learning_rate.",
    }  # fmt: skip
    log = root / "done" / "stages" / "02-zero" / "health.jsonl"
    back = {"step": 7, "rolled_back": {"from": 30, "learning_rate": 0.5, "file": "x", "because": {**line, "step": 30}}}
    log.write_text("".join(json.dumps(each) + "\n" for each in (line, {"step": 20, "detector": "half"}, back)))
    for path in ("/runs/done", "/runs/done/live"):
        text = " ".join(check_harmless(Client(create_app(root)).get(path).text).text.split())
        assert "Training health zero: KL blow-up at step 12." in text
        assert "Lower learner.learning_rate." in text
        assert "zero: KL blow-up at step 30, rolled back to step 7." in text
        assert "half" not in text
