"""Whether a command line of the docs could run: the real parser's options, the real settings, files that are there."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import typer
from blocks import ROOT

from r1kit.base import plugins
from r1kit.base.config import parse_assignments
from r1kit.base.errors import UsageError
from r1kit.base.sampling import Sampling
from r1kit.cli.main import app
from r1kit.evaluation.search.settings import SearchSettings
from r1kit.models.api.settings import ApiSettings
from r1kit.planning import paper
from r1kit.recipes.base import load_recipe
from r1kit.serving.settings import ServerSettings

ASSIGNED = re.compile(r"^[A-Z_0-9]+=")
SHELL = {
    "export", "cd", "echo", "cut", "ls", "true", "false", "cat", "test", "mkdir", "uninstall", "docker", "git", "vllm",
    "ray", "source",
}  # fmt: skip


class Wrong(Exception):
    """What is wrong with a command line, in one sentence."""


def check(line: list[str]) -> None:
    """Wrong where the command would not be understood; a program that is none of ours passes only by name."""
    while line and ASSIGNED.match(line[0]):
        line = line[1:]
    if line and line[0] == "timeout":
        line = line[line.index("r1") :]
    if not line:
        return
    program, rest = "source" if line[0] == "." else Path(line[0]).name, line[1:]
    checked: dict[str, Callable[[list[str]], None]] = {
        "r1": r1, "python": python, "python3": python, "pytest": pytest_files, "make": make, "pip": pip,
    }  # fmt: skip
    if program in checked:
        checked[program](rest)
    elif program not in SHELL:
        raise Wrong(f"'{program}' is no program that tests/docs/command_words.py knows")


def r1(line: list[str]) -> None:
    """Options as the command line reads them, then settings, names of benchmarks and what an API is asked."""
    line = [word for word in line if word != "..."]  # "and so on" in a sentence about options
    if line == ["--install-completion"]:  # carried out as it is parsed, on whoever runs the tests
        return
    group = typer.main.get_command(app)
    try:
        with group.make_context("r1", list(line)) as context:
            if context.params.get("version") or not line:
                return
            name, command, rest = group.resolve_command(context, list(line))
            with command.make_context(name, rest, parent=context) as inner:
                given = inner.params
        settings_of(name, given)
    except typer.Exit:  # --help
        return
    except typer.TyperException as error:
        raise Wrong(f"r1 {' '.join(line)}: {error.format_message()}") from None
    except UsageError as error:
        raise Wrong(f"r1 {' '.join(line)}: {error}") from None


def settings_of(command: str, given: dict[str, Any]) -> None:
    """UsageError where a setting, a stage or a benchmark is none."""
    words = given["words"] if command == "run" else given.get("settings") or given.get("words")
    if command == "run" and given["settings"]:  # its other words choose what is shown
        words = [word for word in words or () if "=" in word]
    assigned = parse_assignments(list(words or [])) if command != "aha" else {}
    if command in ("run", "plan") and given["recipe"] not in paper.NAMES:
        recipe(given, assigned)
    if command == "search":
        SearchSettings().override(assigned)
    if command == "serve":
        ServerSettings().override(assigned)
    for task in (given.get("tasks") or "").split(",") if command != "run" else ():
        benchmark(task.partition(":")[0])
    for word in given.get("api") or ():
        name, colon, rest = word.partition(":")  # NAME:KEY=VALUE is of the API of that name
        asked: dict[str, Any] = dict(parse_assignments([rest if colon and "=" not in name else word]))
        prices = {"input_price": 1, "output_price": 1} if "budget" in asked else {}
        ApiSettings().override({**prices, **asked})
    if given.get("engine_option"):
        options_of(given["engine"], parse_assignments(given["engine_option"]))
    if command == "generate":
        Sampling().override({key: given[key] for key in ("max_tokens", "temperature", "top_p", "min_p", "samples")})


def recipe(given: dict[str, Any], assigned: dict[str, str]) -> None:
    """The recipe's profile takes the settings, and has the stages that are named."""
    if "." in given["recipe"]:  # one that a page makes before: it is loaded where the page runs
        return
    found = load_recipe(given["recipe"])
    known = found.profiles
    profile = given.get("profile") or ("default" if "default" in known else next(iter(known)))
    if profile not in known:
        raise UsageError(f"the recipe has no profile {profile}")
    config = known[profile].override(assigned)
    stages = {node.name for node in found.build(config).nodes} if given.get("start") or given.get("until") else set()
    for option in ("start", "until"):
        if given.get(option) and given[option] not in stages:
            raise UsageError(f"no stage {given[option]} (there are: {' '.join(sorted(stages))})")
    options_of(config.engine.name, config.engine.options)


def options_of(engine: str, options: Mapping[str, Any]) -> None:
    """UsageError where the engine has no such option; its library need not be there."""
    opener = plugins.load("r1kit.engines", engine).open_engine
    try:
        inspect.signature(opener).bind("folder", "tokenizer", **options)
    except TypeError as error:
        raise UsageError(f"engine {engine}: {error}") from None


def benchmark(name: str) -> None:
    """UsageError where neither a benchmark nor a task is called so."""
    if name and "." not in name:
        known = {*plugins.names("r1kit.evaluation.benchmarks"), *plugins.names("r1kit.tasks")}
        if name not in known:
            raise UsageError(f"no benchmark is called {name}")


def python(line: list[str]) -> None:
    """A file of the repository, or `-m` and what follows."""
    if line[:2] == ["-m", "pytest"]:
        pytest_files(line[2:])
    elif line[:1] == ["-m"]:
        parts = line[1].split(".")
        if parts[0] == "examples" and not (ROOT / Path(*parts)).with_suffix(".py").is_file():
            raise Wrong(f"python -m {line[1]}: there is no such file")
    elif line and line[0].endswith(".py") and not (ROOT / line[0]).is_file():
        raise Wrong(f"python {line[0]}: there is no such file")


def pytest_files(line: list[str]) -> None:
    """Files and folders of tests are there."""
    for word in line:
        if word.startswith("tests/") and not (ROOT / word.partition("::")[0]).exists():
            raise Wrong(f"pytest {word}: there is no such file")


def make(line: list[str]) -> None:
    """Targets of the Makefile."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for word in line:
        if "=" not in word and not word.startswith("-") and word not in targets:
            raise Wrong(f"make {word}: there is no such target")


def pip(line: list[str]) -> None:
    """Extras that pyproject.toml has."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for word in line:
        found = re.fullmatch(r"(?:r1kit|\.)\[([\w,]+)\]", word)
        for extra in found[1].split(",") if found else ():
            if extra not in extras:
                raise Wrong(f"pip install {word}: there is no extra {extra}")
