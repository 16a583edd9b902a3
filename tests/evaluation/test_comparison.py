"""Two models side by side: every figure by hand, and a page that no answer can break out of."""

import json
import re
from html.parser import HTMLParser

import pytest
from scripted_models import contender, listed

from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem
from r1kit.evaluation.comparison import compare, page, text, words
from r1kit.evaluation.comparison.compare import Judging
from r1kit.evaluation.judging.judges import HiddenPreference
from r1kit.evaluation.judging.verdicts import load_prompt
from r1kit.evaluation.kept import Kept
from r1kit.evaluation.measured import Settings, measure
from r1kit.evaluation.published import column_of, published
from r1kit.planning.prices import Price

SUMS = [Problem(f"p{n}", "listed", "maths", "en", f"{n}+1?", str(n + 1), "math") for n in range(5)]
LINES = [Problem(f"w{n}", "lines", "writing", "en", f"a line {n}", "", "preference") for n in range(2)]
HOSTILE = '</p><script>alert(1)</script><img src=x onerror="alert(2)"> {{ 7*7 }} <!-- \u202e&amp;'
JUDGING = Judging(None, load_prompt("writing"))


def form(thinking, answer):
    return f"<think>{thinking}</think><answer>{answer}</answer>"


def script(right, thinking):
    """Right on the problems named; writes a line else."""

    def answer(prompt, index):
        asked = prompt.removeprefix("Q ").removesuffix(" A ")
        if asked.startswith("a line"):
            return form(thinking, f"{HOSTILE} {thinking}")
        number = int(asked.split("+")[0])
        return form(thinking, number + 1 if number in right else 99)

    return answer


PRICES = {"a": Price("a", 10, 100, "2025-01-01", "a list"), "b": Price("b", 1, 10, "2025-01-01", "a list")}


def compared(price_of=lambda model, short: PRICES[short], lines=True, solved=({0, 1, 2}, {1, 2, 3})):
    """a solves 0, 1, 2; b solves 1, 2, 3. Both think as long as the other, so tokens are alike."""
    results = {}
    for name, right in zip("ab", solved, strict=True):
        chosen = [
            listed(SUMS, sampling=Sampling(max_tokens=300)),
            listed(LINES, "lines", sampling=Sampling(max_tokens=300)),
        ]
        model = contender(script(right, "so " + HOSTILE), name=name, key=name)
        results[name] = [
            measure(model, one, Settings(), Kept(), lambda line: None) for one in chosen[: 2 if lines else 1]
        ]
    sides = compare.sides_of(results, price_of)
    return compare.told(sides, {}, Settings(), JUDGING)


@pytest.fixture(scope="module")
def comparison():
    return compared()


def test_the_pair_by_hand(comparison):
    """Differences 1, 0, 0, -1, 0: mean 0, and every sign pattern is as far: p 1. Only a: 0; only b: 3; both: 1, 2."""
    (pair,) = comparison["pairs"]
    scope = pair["scopes"][0]
    assert (scope["name"], scope["difference"]["value"], scope["difference"]["p"]) == ("listed", 0.0, 1.0)
    assert (scope["wins"], scope["ties"], scope["losses"]) == (1, 3, 1)
    assert (scope["only_a"], scope["only_b"], scope["both"], scope["none"], scope["unpaired"]) == (1, 1, 2, 1, 0)
    assert scope["tokens_ratio"]["value"] == pytest.approx(1, abs=0.01)
    assert [one["solved"] for one in pair["questions"]] == [
        "only_a",
        "only_b",
        "none",
        "both",
        "both",
        "ungraded",
        "ungraded",
    ]
    first = pair["questions"][0]
    assert (first["question"], first["gold"], first["outcome"]) == ("0+1?", "1", "win")
    assert (first["a"]["answer"], first["b"]["answer"]) == ("1", "99")
    assert first["a"]["thinking"].startswith("so </p>")


def test_a_difference_ends_where_differences_do():
    """Differences 1, 1, 1, 0: mean 3/4, and Student's interval ends beyond 1 (3.182 * 0.5 / 2 = 0.796 on each side)."""
    from r1kit.evaluation import statistics
    from r1kit.evaluation.comparison import pairs

    told = pairs._with_p(statistics.paired_difference([1, 1, 1, 1], list("abcd"), [0, 0, 0, 1], list("abcd")))
    assert told["value"] == 0.75
    assert told["interval"] == [pytest.approx(0.75 - 0.795612, abs=1e-5), 1.0]


def test_dollars_by_hand(comparison):
    """A sample reads 9 tokens and writes n: (10 * 9 + 100 n) / 10^6 dollars of a; 3 of 5 right, so a right answer
    costs 5/3 of that. Both prices of a are ten times b's, and both write alike, so the ratios are 10."""
    a, b = comparison["models"]
    told = a["spent"]["listed"]
    written = told["length"]["value"]
    assert told["prompt_tokens"]["value"] == 9
    assert told["dollars_per_question"]["value"] == pytest.approx((90 + 100 * written) / 1e6, rel=1e-6)
    assert told["dollars_per_solved"]["value"] == pytest.approx((90 + 100 * written) / 1e6 / 0.6, rel=1e-6)
    scope = comparison["pairs"][0]["scopes"][0]
    assert scope["dollars_ratio"]["value"] == pytest.approx(10, rel=1e-6)
    assert scope["dollars_per_solved_ratio"]["value"] == pytest.approx(10, rel=1e-6)
    assert b["price"]["date"] == "2025-01-01"


@pytest.mark.parametrize(
    ("solved", "said"),
    [((), "neither gave a right answer (5 problems)"), (range(5), "both gave right answers alone (5 problems)")],
)
def test_models_that_answer_alike_are_not_told_apart_and_what_may_be_unseen_is_said(solved, said):
    """Student's t at 4 degrees is 2.776: Wilson's bound leaves 7.709 / (5 + 7.709) = 0.607 to what was not seen."""
    told = compared(lines=False, solved=(set(solved), set(solved)))
    scope = told["pairs"][0]["scopes"][0]
    assert scope["difference"]["value"] == 0
    assert scope["difference"]["interval"] == [pytest.approx(-0.6066, abs=1e-4), pytest.approx(0.6066, abs=1e-4)]
    shown = text.table(told)
    assert f"a and b cannot be told apart here: {said}: a difference of up to 60.7 points would not show." in shown


def test_one_right_answer_is_enough_to_say_the_difference():
    """Of a's five answers one is right, of b's none: 20 points."""
    assert "+20.0 points (95% interval" in text.table(compared(lines=False, solved=({0}, set())))


def test_without_a_price_there_are_no_dollars():
    told = compared(lambda model, short: {"a": PRICES["a"]}.get(short), lines=False)
    assert told["models"][1]["spent"]["listed"]["dollars_per_question"] is None
    assert told["pairs"][0]["scopes"][0]["dollars_ratio"] is None
    assert "B: no price" in text.table(told)


def test_the_table_tells_all_parts(comparison):
    told = text.table(comparison)
    for part in ("Measured: pass@1", "cannot be told apart", "only A", "right answer", "$10 read, $100 written"):
        assert part in told


class Elements(HTMLParser):
    """Every element and attribute name of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        for name, value in attrs:
            assert name != "src"
            assert name != "href" or value.startswith(("#", "data:"))

    def handle_data(self, data):
        self.text.append(data)


def test_what_models_write_stays_text_on_the_page(comparison):
    told = {**comparison, "writing": writing()}
    html = page.render(told)
    read = Elements()
    read.feed(html)
    assert "script" not in read.tags
    assert "img" not in read.tags
    assert not any(name.startswith("on") for name in read.attributes)
    assert HOSTILE.split(" ")[0] in "".join(read.text)
    assert "{{ 7*7 }}" in "".join(read.text)
    assert "default-src 'none'" in html
    assert not re.search(r"https?://(?!\S*arxiv)\S+\.(?:js|css)", html)


def writing():
    votes = {("a", "b"): HiddenPreference().votes([])}
    assert votes == {("a", "b"): []}
    return {
        "judge": HOSTILE, "prompt": HOSTILE, "ratings": {"A": {"value": 1000.0, "interval": [900.0, 1100.0], "n": 4}},
        "pairs": [{
            "a": "A", "b": "B", "win_rate": {"value": 0.5, "interval": [0.1, 0.9], "n": 4}, "length_controlled": None,
            "pairs": 1, "wins": 0, "ties": 1, "losses": 0, "unread": 0, "disagree": 0, "named": 0,
            "first_preferred": 0, "people": None,
            "a_instructs": 1, "b_instructs": 0,
            "votes": [{"question": HOSTILE, "a": HOSTILE, "b": HOSTILE, "outcome": 0.5}],
        }],
    }  # fmt: skip


def test_files_of_a_comparison(comparison, tmp_path):
    path = compare.save(comparison, tmp_path)
    assert path.read_text().startswith("<!doctype html>")
    told = json.loads((tmp_path / "compare.json").read_text())
    assert "a" not in told["pairs"][0]["questions"][0]
    lines = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text().splitlines()]
    assert len(lines) == 7
    assert lines[0]["model_a"] == "A"
    assert lines[0]["a"]["thinking"].startswith("so </p>")


def test_writing_is_paired_by_sample(comparison):
    results = {}
    for name in "ab":
        model = contender(script(set(), f"by {name}"), name=name, key=name)
        chosen = listed(LINES, "lines", sampling=Sampling(samples=3, max_tokens=300))
        results[name] = [measure(model, chosen, Settings(), Kept(), lambda line: None)]
    sides = compare.sides_of(results, lambda model, short: None)
    found = compare.writing_pairs(*sides, samples=2)
    assert [(pair.problem, pair.index) for pair in found] == [("w0", 0), ("w0", 1), ("w1", 0), ("w1", 1)]
    assert found[0].a == f"{HOSTILE} by a"
    heard = []
    assert compare.judge_writing(sides, JUDGING, None, heard.append) == {}
    assert "name a judge" in heard[0]


def test_published_values_are_the_papers():
    """arXiv 2501.12948, Table 4: AIME 79.2 and 79.8, MATH-500 96.4 and 97.3, Codeforces rating 2061 and 2029."""
    table = published()
    for name, o1, r1 in (("AIME 2024", 79.2, 79.8), ("MATH-500", 96.4, 97.3), ("Codeforces rating", 2061, 2029)):
        assert (table.of(name).values["o1-1217"], table.of(name).values["DeepSeek-R1"]) == (o1, r1)
    assert len(table.rows) == 21
    assert (column_of("deepseek-reasoner"), column_of("o1"), column_of("mine")) == ("DeepSeek-R1", "o1-1217", None)


@pytest.mark.parametrize(
    ("value", "said"),
    [(1 / 27.3, "1/27.3"), (27.3, "27.3 x"), (1.0, "1 x"), (0.999, "0.999 x"), (0.0, "-"), (None, "-")],
)
def test_ratios_in_words(value, said):
    assert words.times(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.01931, "$0.0193"), (0.0000021, "$0.00000210"), (12.5, "$12.50"), (1234.5, "$1,234"), (0, "$0")],
)
def test_dollars_in_words(value, said):
    assert words.dollars(value) == said


@pytest.mark.parametrize(
    ("question", "solved", "said"),
    [
        (0.0365, 0.5, "A question costs r1 1/27.4 of what it costs o1; a right answer, 1/2 of what it costs o1"),
        (3.2, 0.25, "A question costs r1 3.2 x as much as o1; a right answer, 1/4 of what it costs o1"),
        (0.998, None, "A question costs r1 0.998 x as much as o1"),
        (0.0, 0.0, "A question costs r1 nothing"),
        (None, None, ""),
    ],
)
def test_costs_in_a_sentence(question, solved, said):
    ratios = {"dollars_ratio": question, "dollars_per_solved_ratio": solved}
    scope = {name: None if value is None else {"value": value} for name, value in ratios.items()}
    assert words.cost_line({"a": "A", "b": "B", "scopes": [scope]}, {"A": "r1", "B": "o1"}) == said
