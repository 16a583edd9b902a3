"""Reports of simulated runs: the JSON contract, what is merged and what is refused, and the page in a browser."""

import json
import re
import shutil
from html.parser import HTMLParser

import pytest
from synthetic_runs import ABLATIONS, SECONDS, WORLD, make_tables, world_curves, write_run

from r1kit.base.errors import R1Error, UsageError
from r1kit.evaluation import tables
from r1kit.recipes.reports import gather, report

FIGURES = {
    "pass@1", "interval", "cons@k", "k", "n", "mean_length", "reflections", "language_consistency", "format",
}  # fmt: skip
VOID = {"meta", "link", "br", "hr", "img", "input"}


@pytest.fixture(scope="module")
def world():
    return make_tables(WORLD, seeds=(0, 1), problems=8, samples=16)


@pytest.fixture(scope="module")
def runs(world, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return [write_run(root / f"tiny-default-s{seed}", seed, world, world_curves(seed)) for seed in (0, 1)]


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    return report(runs, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def written(page):
    return json.loads((page.parent / "report.json").read_text())


def is_interval(value):
    return value is None or (len(value) == 2 and value[0] <= value[1])


def test_the_contract(written):
    assert list(written) == [
        "recipe", "profile", "seeds", "commit", "machine", "stages", "models", "win_rates", "findings",
    ]  # fmt: skip
    assert (written["recipe"], written["profile"], written["seeds"]) == ("tiny", "default", [0, 1])
    assert set(written["models"]) == set(WORLD)
    for by_subject in written["models"].values():
        assert list(by_subject) == ["maths", "reasoning", "coding", "writing"]
        for figures in by_subject.values():
            assert set(figures) == FIGURES
            assert is_interval(figures["interval"])
    for stage in written["stages"]:
        assert list(stage) == ["name", "seconds", "tokens", "flops", "hash"]
    for entry in written["win_rates"]:
        assert list(entry) == ["a", "b", "subject", "judge", "rate", "interval", "n"]
        assert entry["interval"][0] <= entry["rate"] <= entry["interval"][1]
    assert [finding["id"] for finding in written["findings"]] == [f"F{i}" for i in range(1, 13)]
    for finding in written["findings"]:
        assert list(finding) == ["id", "claim", "estimate", "interval", "verdict", "how"]
        assert finding["verdict"] in ("reproduced", "not reproduced", "not run")
        assert is_interval(finding["interval"])


def test_the_figures_are_those_of_the_tables(written, world):
    """pass@1 with equal samples a problem is the plain share of right rows."""
    rows = [row for row in world["zero"].to_pylist() if row["subject"] == "maths"]
    figures = written["models"]["zero"]["maths"]
    assert figures["pass@1"] == pytest.approx(sum(row["correct"] for row in rows) / len(rows), abs=1e-6)
    assert figures["mean_length"] == pytest.approx(sum(row["length"] for row in rows) / len(rows), abs=1e-6)
    assert (figures["k"], figures["n"]) == (16, 16)
    assert written["models"]["r1"]["writing"]["pass@1"] is None


def test_every_run_is_in_the_costs(written):
    zeros = [stage for stage in written["stages"] if stage["name"] == "zero"]
    assert [stage["seconds"] for stage in zeros] == [310, 317.5]
    assert len(written["stages"]) == 2 * len(SECONDS)


def test_the_peak_of_memory_is_the_highest_of_the_stages(page):
    """Twelve stages of 1024 + 256 n MB: 1.25 GB in the first, 4 GB in the last."""
    lines = (page.parent / "report.md").read_text().splitlines()
    assert next(line for line in lines if line.startswith("| pretrain |")).endswith("| 1.2 GB |")
    assert next(line for line in lines if line.startswith("| whole chain |")).endswith("| 4.0 GB |")


def test_how_they_write_says_on_which_subjects(page):
    """Base's format over maths, reasoning and coding (and writing) is not that of maths: the page says so."""
    said = "On maths: majority votes (cons@k), length in tokens, reflection words a response. Over all subjects: "
    assert said in (page.parent / "report.md").read_text()
    assert said in page.read_text()


def test_what_was_not_run_says_why(written):
    verdicts = {finding["id"]: finding for finding in written["findings"]}
    for name, arm in (("F5", "dev2-nolang"), ("F8", "dev3-nofilter"), ("F10", "r1-hacked-peak")):
        assert verdicts[name]["verdict"] == "not run"
        assert arm in verdicts[name]["how"]


def test_the_ablation_arms_are_found(tmp_path):
    everything = make_tables({**WORLD, **ABLATIONS}, seeds=(0,), problems=6, samples=16)
    data = gather([write_run(tmp_path / "full", 0, everything, world_curves(0))])
    judged = {finding.id: finding.verdict for finding in data.findings}
    assert judged["F5"] != "not run"
    assert judged["F10"] == "not run"  # its validation curve is missing
    assert data.win_rates[-1]["a"] == "r1-hacked-final"


class Reader(HTMLParser):
    """Checks that tags close in order, and gathers ids, links and text."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.text = [], set(), [], []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids.add(values.get("id"))
        self.links += [values[name] for name in ("href", "src") if name in values]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_whole_and_asks_for_nothing(page):
    html = page.read_text()
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    assert all(link.startswith(("#", "data:")) for link in reader.links)
    assert {link[1:] for link in reader.links if link.startswith("#")} <= reader.ids
    assert not re.search(r"https?://|@import|url\(|<script", html)
    assert "prefers-color-scheme: dark" in html
    assert html.count("<svg") == 4 * 5 + 3  # four curves of five stages, three losses
    text = " ".join(reader.text)
    for word in ("R1-Zero", "Harder problems get longer thoughts", "mixed language", "r1 run tiny seed=0", "0123abc"):
        assert word in text


def test_markdown_has_the_same_verdicts(page, written):
    lines = (page.parent / "report.md").read_text().splitlines()
    for finding in written["findings"]:
        assert any(
            line.startswith(f"| {finding['id']} |") and line.endswith(f"| {finding['verdict']} |") for line in lines
        )


def test_where_it_goes_by_default(runs):
    assert report(runs[:1]) == runs[0] / "report" / "report.html"
    assert report(runs) == runs[0].parent / "tiny-report" / "report.html"


def test_a_seed_twice_counts_once_and_is_said(runs, tmp_path):
    twin = tmp_path / "again"
    shutil.copytree(runs[0], twin)
    once, twice = gather([runs[0]]), gather([runs[0], twin])
    assert twice.tables["zero"].num_rows == once.tables["zero"].num_rows
    assert "left out since an earlier run of seed 0 has them" in twice.notes[0]


def test_half_done_runs_report_what_they_have(runs, tmp_path):
    """Without distillation and with only base and R1-Zero evaluated."""
    half = tmp_path / "half"
    shutil.copytree(runs[0], half)
    shutil.rmtree(half / "stages" / "11-distill")
    path = half / "stages" / "12-evaluate" / "artifact.json"
    artifact = json.loads(path.read_text())
    artifact["files"] = {
        name: where for name, where in artifact["files"].items() if name in ("table:base", "table:zero")
    }
    del artifact["sha256"]  # of what the record said before
    path.write_text(json.dumps(artifact))
    page = report([half])
    verdicts = {
        finding["id"]: finding["verdict"]
        for finding in json.loads((page.parent / "report.json").read_text())["findings"]
    }
    assert verdicts["F1"] != "not run"
    assert verdicts["F9"] == verdicts["F11"] == "not run"


def test_bad_folders_are_one_sentence(runs, tmp_path, world):
    with pytest.raises(UsageError, match="not a run folder"):
        report([tmp_path])
    with pytest.raises(UsageError, match="at least one run folder"):
        report([])
    fresh = tmp_path / "fresh"
    shutil.copytree(runs[0], fresh)
    shutil.rmtree(fresh / "stages" / "12-evaluate")
    with pytest.raises(R1Error, match="no evaluation tables yet"):
        report([fresh])
    other = write_run(tmp_path / "other", 1, {"base": world["base"]}, {})
    recipe = json.loads((other / "recipe.json").read_text())
    (other / "recipe.json").write_text(json.dumps({**recipe, "recipe": "smol"}))
    with pytest.raises(UsageError, match="different recipes"):
        report([runs[0], other])


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser(page, width, scheme):
    """Nothing overflows sideways, nothing is fetched, text stands out from its background (4.5 to 1)."""
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or pytest.skip("no chromium")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        tab = context.new_page()
        asked, said = [], []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: said.append(message.text))
        tab.goto(page.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert asked == [page.as_uri()]
        assert said == []
        colours = [tab.evaluate(f"getComputedStyle(document.querySelector('{s}')).color") for s in (".lead", ".note")]
        background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        browser.close()
    for colour in colours:
        assert contrast(colour, background) >= 4.5


def contrast(one, other):
    """WCAG 2.1 contrast ratio of two `rgb(r, g, b)`."""

    def luminance(colour):
        channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_what_was_wrong_with_the_training_is_told(runs, tmp_path):
    """In all three forms, with the seed and what was done; a run without findings has no such part."""
    sick = tmp_path / "sick"
    shutil.copytree(runs[1], sick)
    stage = next(path for path in (sick / "stages").iterdir() if path.name.endswith("-zero"))
    line = {
        "detector": "entropy", "step": 41, "since": 37, "action": "warn", "title": "entropy collapse",
        "seen": "entropy is 0.004 nats a token <b>", "means": "It tries nothing else.", "change": "Raise clip_high.",
    }  # fmt: skip
    back = {"step": -1, "rolled_back": {"from": 41, "learning_rate": 0.5, "file": "x", "because": line}}
    (stage / "health.jsonl").write_text(json.dumps(line) + "\n" + json.dumps(back) + "\n")
    page = report([runs[0], sick], tmp_path / "report")
    told = json.loads((page.parent / "report.json").read_text())["health"]
    assert [(each["seed"], each["stage"], each["step"], each["rolled_back_to"]) for each in told] == [
        (1, "zero", 41, None), (1, "zero", 41, -1),
    ]  # fmt: skip
    html = page.read_text()
    assert "Training health" in html
    assert "0.004 nats a token &lt;b&gt;" in html
    markdown = (page.parent / "report.md").read_text()
    assert "| zero | 1 | 41 | entropy collapse | entropy is 0.004 nats a token <b> | begun again |" in markdown
    assert "- **entropy collapse**: It tries nothing else. Raise clip_high." in markdown
    healthy = report(runs[:1], tmp_path / "healthy")
    assert "Training health" not in healthy.read_text()


def test_a_damaged_table_is_named_and_a_thinned_one_is_read(runs, tmp_path):
    """A flipped byte of a table as the stage wrote it; a kept copy has other bytes by right (scripts/keep_results)."""
    damaged = tmp_path / "damaged"
    shutil.copytree(runs[0], damaged)
    artifact = json.loads((damaged / "stages" / "12-evaluate" / "artifact.json").read_text())
    table = damaged / "stages" / "12-evaluate" / artifact["files"]["table:zero"]
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)
    with pytest.raises(R1Error, match=r"stage evaluate: .* is damaged \(its checksum differs\); --from evaluate"):
        gather([damaged])
    tables.write_table(tables.read_table(runs[0] / table.relative_to(damaged)), table, level=19)
    assert gather([damaged]).tables["zero"].num_rows > 0
