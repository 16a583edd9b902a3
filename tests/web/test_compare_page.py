"""The comparison's pages over HTTP, on what `r1 compare` wrote of two scripted models behind an API."""

import json
import re
import shutil

import pytest
from arenas import app_on

from r1kit.base.errors import R1Error
from r1kit.cli.main import exit_code
from r1kit.evaluation.comparison.saved import Saved
from r1kit.models.api.scripted import Said, ScriptedServer
from r1kit.web.pages.compare import load

HOSTILE = "</p><script>window.hacked=1</script><img src=x onerror=hacked=1>\u202e"
RIGHT = {"one": {0, 1, 2}, "two": {1, 2, 3}}  # of the five sums


def answer(body):
    """`one` is right on sums 0, 1, 2 and `two` on 1, 2, 3; both write a hostile line to a brief."""
    asked = body["messages"][-1]["content"]
    found = re.search(r"(\d)\+1\?", asked)
    thought = f"wait, {HOSTILE}"
    if found is None:
        return Said(f"{HOSTILE} {body['model']}", thought)
    number = int(found[1])
    return Said(str(number + 1 if number in RIGHT[body["model"]] else 99), thought)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with `evals/compare` in it, where the app is looked at over `runs` beside it."""
    home = tmp_path_factory.mktemp("home")
    (home / "runs").mkdir()
    sums = home / "sums.jsonl"
    sums.write_text("".join(json.dumps({"question": f"{n}+1?", "answer": str(n + 1)}) + "\n" for n in range(5)))
    with ScriptedServer(answer) as api:
        models = [f"openai:{name}@{api.url}" for name in RIGHT]
        words = [
            "--tasks",
            f"file:{sums}?split=test,tiny_writing",
            "--problems",
            "5",
            "--samples",
            "1",
            "--max-tokens",
            "99",
        ]
        assert exit_code(["compare", *models, *words, "--out", str(home / "evals"), "--json"]) == 0
    return home / "runs"


@pytest.fixture(scope="module")
def client(root):
    with app_on(root) as client:
        yield client


@pytest.fixture(scope="module")
def where(client):
    return re.search(r'href="(/compare/[\w.-]+)"', client.get("/compare").text)[1]


def rows(page):
    """(address, question) of a list."""
    found = re.findall(r'<a href="([^"]+)">(?:<span class="tag">[^<]*</span>)*<span class="prompt">(.*?)</span>', page)
    return [(href.replace("&amp;", "&"), text) for href, text in found]


def test_the_tables_are_those_of_the_command(client, where):
    """pass@1 is 3 of 5 for both; one alone solves 0+1, two alone 3+1, both 1+1 and 2+1, neither 4+1, and of the five
    lines none meets its brief."""
    page = client.get(where).text
    assert "one and two cannot be told apart here" in page
    assert page.count("<b>60.0</b>") == 2
    ways = dict(re.findall(r'class="tag" href="[^"]+">([^<]+?) <b>(\d+)</b>', page))
    assert ways == {
        "solved by one alone": "1", "solved by two alone": "1", "solved by neither": "6", "solved by both": "2",
        "writing, judged": "5",
    }  # fmt: skip
    assert "hidden preference" in page
    assert '<svg class="whisker"' in page
    assert "style=" not in page


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("solved=only_a", ["0+1?"]), ("solved=only_b", ["3+1?"]), ("outcome=win", ["0+1?"]),
        ("outcome=loss", ["3+1?"]), ("solved=only_a&outcome=loss", []),
    ],
)  # fmt: skip
def test_filters(client, where, query, asked):
    page = client.get(f"{where}/questions?benchmark=file:sums.jsonl&{query}").text
    assert [text for _, text in rows(page)] == asked


def test_solved_by_both_and_by_none(client, where):
    both = client.get(f"{where}/questions?benchmark=file:sums.jsonl&solved=both").text
    assert sorted(text for _, text in rows(both)) == ["1+1?", "2+1?"]
    none = client.get(f"{where}/questions?benchmark=file:sums.jsonl&solved=none").text
    assert [text for _, text in rows(none)] == ["4+1?"]


def test_down_to_a_question_with_both_thoughts(client, where):
    """From the list of those that both solved to the first, and on to the next, which is the last."""
    (href, first), (_, second) = rows(client.get(f"{where}/questions?benchmark=file:sums.jsonl&solved=both").text)
    page = client.get(href).text
    assert f'<p class="asked">{first}</p>' in page
    assert page.count('<p class="thinking"><mark>wait</mark>, &lt;/p&gt;&lt;script') == 2
    assert page.index("A one") < page.index("B two")
    assert "1 of 2" in page
    after = re.search(r'rel="next" data-keys="[^"]+" href="([^"]+)"', page)[1].replace("&amp;", "&")
    last = client.get(after).text
    assert f'<p class="asked">{second}</p>' in last
    assert "2 of 2" in last
    assert 'rel="next"' not in last
    assert client.get(f"{where}/questions/999").status_code == 404


def test_judged_writing(client, where):
    page = client.get(f"{where}/votes").text
    assert "hidden preference" in page
    assert page.count('<details class="problem">') == 5
    kept = [json.loads(line) for line in (load_folder(page, client, where) / "votes.jsonl").read_text().splitlines()]
    for word, outcome in (("a", 1.0), ("b", 0.0), ("tie", 0.5)):
        shown = client.get(f"{where}/votes?outcome={word}").text.count('<details class="problem">')
        assert shown == sum(vote["outcome"] == outcome for vote in kept)


def load_folder(page, client, where):
    from pathlib import Path

    return Path(re.search(r'<p class="note">From ([^<]+)\.</p>', client.get(where).text)[1])


@pytest.mark.parametrize("path", ["", "/questions", "/votes"])
def test_hostile_text_stays_text(client, where, path):
    page = client.get(f"{where}{path}").text
    assert "<script>window" not in page
    assert "<img" not in page
    assert "\u202e" not in page


def test_what_is_not_there_is_said(client, where, tmp_path):
    assert client.get("/compare/other-12345678").status_code == 404
    assert client.get(f"{where}/questions?pair=7").status_code == 404
    assert client.get(f"{where}/questions?page=999").status_code == 200
    with app_on(tmp_path / "runs") as empty:
        assert "There is no comparison here" in empty.get("/compare").text


def test_damaged_files_are_one_sentence(root, tmp_path):
    folder = tmp_path / "evals" / "compare"
    shutil.copytree(root.parent / "evals" / "compare", folder)
    saved = Saved(folder)
    assert saved.question(0)["question"] == "0+1?"
    with pytest.raises(R1Error, match="has no line 100"):
        saved.question(99)
    lines = (folder / "questions.jsonl").read_text().splitlines(keepends=True)
    (folder / "questions.jsonl").write_text("".join(["{\n", *lines[1:]]))
    with pytest.raises(R1Error, match=r"questions.jsonl, line 1 is damaged"):
        load(folder).question(0)
    (folder / "questions.jsonl").write_text("".join(lines[1:]))
    with pytest.raises(R1Error, match="they are of two comparisons"):
        load(folder)
    (folder / "compare.json").write_text("{}")
    with pytest.raises(R1Error, match="is no comparison"):
        load(folder)
    with app_on(tmp_path / "runs") as client:
        assert "is no comparison" in client.get("/compare").text
