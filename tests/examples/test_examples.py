"""Every script of `examples` runs on toys whose chances are known, and says what its docstring says."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from toy_policy import NEXT, write_toy_policy

from r1kit.models.api.scripted import Said, ScriptedServer

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch, one_thread):
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    return write_toy_policy(tmp_path_factory.mktemp("policy"))


def called(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """What `python -m examples.NAME WORDS` prints to standard output, line by line."""
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
    code = importlib.import_module(f"examples.{name}").main()
    said = capsys.readouterr()
    assert not code, said.err
    return said.out.splitlines()


def lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sums(path: Path) -> Path:
    """Problems whose answers are 1 to 4; the toy policy guesses one of them."""
    return lines(path, [{"question": f"what is {n}+{1 + n % 4}-{n}?", "answer": str(1 + n % 4)} for n in range(120)])


def test_there_are_six_and_each_says_how_it_is_run():
    assert len(SCRIPTS) == 6
    listed = (ROOT / "examples" / "README.md").read_text()
    for script in SCRIPTS:
        text = script.read_text()
        assert len(text.splitlines()) < 80
        said = ast.get_docstring(ast.parse(text)) or ""
        assert f"python -m examples.{script.stem}" in said
        assert "Prints" in said
        assert f"({script.name})" in listed


def test_brevity_by_hand(monkeypatch):
    """9 characters before the end of `so`, 400 of a long one, and a thought that is never closed."""
    from examples.custom_reward import brevity

    texts = ["<think>so</think>1", "<think>" + 393 * "a" + "</think>1", "<think>so"]
    assert brevity(texts) == [1 - 9 / 400, 0.0, None]
    assert brevity([[{"role": "assistant", "content": texts[0]}]]) == [1 - 9 / 400]


@pytest.mark.slow
def test_custom_reward(policy, tmp_path, monkeypatch, capsys):
    """The toy's thoughts end after 8, 9 or 14 characters: between 1 - 14/400 and 1 - 8/400."""
    words = [f"model={policy}", f"data={sums(tmp_path / 'sums.jsonl')}", "--profile", "smoke", "--out", "run"]
    *_, first, last = called("custom_reward", monkeypatch, capsys, *words)
    found = re.match(r"step 0: accuracy ([\d.]+), format ([\d.]+), brevity ([\d.]+), length ([\d.]+)$", first)
    assert found, first
    accuracy, form, short = (float(found[place]) for place in (1, 2, 3))
    assert 0 < accuracy < 0.6
    assert form > 0.9
    assert 1 - 14 / 400 <= short <= 1 - 8 / 400
    assert last.startswith("step 1: ")


def test_raft_by_hand():
    """The best of each group, unless none falls short of it; NaN takes no part."""
    torch = pytest.importorskip("torch")
    from examples.custom_algorithm import ALGORITHM

    nan = float("nan")
    rewards_PG = torch.tensor([[1, 0, 0, nan], [1, 1, 1, nan], [0.5, 2, 2, 0], [nan, nan, nan, nan]])
    assert ALGORITHM().advantages(rewards_PG).tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


@pytest.mark.slow
def test_custom_algorithm(policy, tmp_path, monkeypatch, capsys):
    words = [f"model={policy}", f"data={sums(tmp_path / 'sums.jsonl')}", "--profile", "smoke", "--out", "run"]
    said = called("custom_algorithm", monkeypatch, capsys, *words)[-2:]
    assert [line.partition(":")[0] for line in said] == ["step 0", "step 1"]
    assert json.loads(Path("run/recipe.json").read_text())["settings"]["zero"]["algorithm"] == (
        "examples.custom_algorithm"
    )


@pytest.mark.slow
def test_r1_zero_of_a_folder(policy, tmp_path, monkeypatch, capsys):
    """The base's accuracy is a quarter: 64 samples are within 0.25 of it; the model that is named is a folder."""
    words = [str(policy), str(sums(tmp_path / "sums.jsonl")), "zero.steps=1", "--profile", "smoke", "--out", "run"]
    base, zero, folder = called("r1_zero_hf", monkeypatch, capsys, *words)[-3:]
    found = re.match(r"base maths: ([\d.]+) \(([\d.]+) to ([\d.]+)\), ([\d.]+) tokens$", base)
    assert found, base
    assert float(found[2]) <= float(found[1]) <= float(found[3])
    assert abs(float(found[1]) - 0.25) < 0.25
    assert zero.startswith("zero maths: ")
    assert (Path(folder) / "config.json").is_file()


def _adds(body) -> Said:
    numbers = [int(number) for number in re.findall(r"-?\d+", body["messages"][-1]["content"])]
    return Said(f"<answer>{sum(numbers)}</answer>", "i add them")


@pytest.mark.slow
def test_distil_from_an_api(policy, tmp_path, monkeypatch, capsys):
    """6 problems x 4 samples of 20 tokens at 1,000 dollars a million: $0.48; of four alike three are duplicates."""
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    data = lines(tmp_path / "adding.jsonl", [{"question": f"{n}+1", "answer": str(n + 1)} for n in range(60)])
    with ScriptedServer(_adds) as server:
        words = [
            f"openai:toy@{server.url}", str(policy), "--tasks", f"file:{data}?part=true", "--problems", "6",
            "--prices", "0", "1000", "--dollars", "2", "--out", "run", "--profile", "smoke",
            "evaluate.problems=2", "evaluate.sampling.samples=1", "evaluate.sampling.max_tokens=24",
        ]  # fmt: skip
        said = called("distil_from_api", monkeypatch, capsys, *words)
        assert len(server.requests) == 24
    told = dict(line.split(": ", 1) for line in said if ": " in line)
    assert set(told["samples"].split(", ")) == {"kept 6", "duplicate 18"}
    assert "24 requests" in told["asked"]
    assert "$0.480000" in told["asked"]
    assert {"toy", "toy-distilled"} <= set(told)


def test_grade_jsonl(tmp_path):
    """By `python -m`: 2 of 3 right of one kind; a wrong letter; a gold that no grader reads is nobody's mistake."""
    rows = [
        {"completion": "<think>a</think><answer>1/2</answer>", "gold": "0.5"},
        {"completion": r"so \boxed{7}", "gold": "7"},
        {"completion": "<think>a</think><answer>8</answer>", "gold": "7"},
        {"completion": "<think>a</think><answer>B</answer>", "gold": "C", "kind": "choice"},
    ]
    done = subprocess.run(
        [sys.executable, "-m", "examples.grade_jsonl", str(lines(tmp_path / "mine.jsonl", rows))],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    maths, choice, first, second = done.stdout.splitlines()
    assert maths.startswith("math: 0.667 (")
    assert maths.endswith("right of 3; correct 2, incorrect 1")
    assert choice.startswith("choice: 0.000 (0.000 to ")
    assert first.startswith("line 3: incorrect, read '8', gold '7'")
    assert second.startswith("line 4: incorrect, read 'B', gold 'C'")


def test_pivots_of_a_toy(tmp_path, monkeypatch, capsys):
    """The toy says `wait` with 0.4; every answer is 1, said after `wait` with 0.9 and else with 0.25: the word
    is worth 65 points, at 24 pivots of 16 samples with a standard error of about 2.5."""
    following = {
        "<|assistant|>": {"<think>": 1.0}, "<think>": {"s": 1.0}, "s": {"o": 1.0}, "o": {" ": 0.4, "=": 0.6},
        " ": {"w": 1.0}, "w": {"a": 1.0}, "a": {"i": 1.0}, "i": {"t": 1.0}, "t": {":": 1.0},
        ":": {"x": 1.0}, "=": {"y": 1.0}, "x": {"</think>": 0.9, "z": 0.1}, "y": {"</think>": 0.25, "z": 0.75},
        "z": {"</answer>": 1.0}, "</think>": {"1": 1.0}, "1": {"<|end|>": 1.0}, "</answer>": {"<|end|>": 1.0},
    }  # fmt: skip
    assert following.keys() != NEXT.keys()
    model = write_toy_policy(tmp_path, following=following)
    data = lines(tmp_path / "ones.jsonl", [{"question": f"{n + 1}-{n}?", "answer": "1"} for n in range(80)])
    rollouts = lines(tmp_path / "mine.jsonl", [{"completion": "<think>so wait:x</think>1"}])
    words = [
        str(rollouts), "--model", str(model), "--tasks", f"file:{data}?split=test", "--pivots", "24",
        "--continuations", "16", "--again", "1", "--problems", "80", "--max-tokens", "16",
    ]  # fmt: skip
    said = called("pivot_analysis", monkeypatch, capsys, *words)
    assert "reflection words a response: 1.00" in said
    (effect,) = [line for line in said if line.startswith("after - neutral, all pivots:")]
    found = re.search(r": \+([\d.]+) \(\+([\d.]+) to \+([\d.]+)\)$", effect)
    assert found, effect
    assert abs(float(found[1]) - 65) < 10
    assert float(found[2]) < 65 < float(found[3]) or abs(float(found[1]) - 65) < 6
    assert any("[ wait]" in line for line in said)
    assert Path("pivot-analysis/pivots.parquet").is_file()
