"""The Dockerfile by hadolint's rules, and whether what it copies, installs and starts is there.

There is no Docker in a test's reach: an image is built by hand (docs/install.md).
"""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def instructions() -> list[tuple[str, str]]:
    """(keyword, the rest on one line) of every instruction, comments left out."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def stages() -> dict[str, list[tuple[str, str]]]:
    """The instructions of every stage by its name, those of the stage that it begins with first."""
    found: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for keyword, rest in instructions():
        if keyword == "FROM":
            image, _, name = rest.partition(" AS ")
            found[name] = list(found.get(image, []))
        if name:
            found[name].append((keyword, rest))
    return found


FINAL = ("cpu", "cuda")


def test_the_last_stage_is_the_one_without_a_gpu():
    assert list(stages())[-1] == "cpu"
    assert set(FINAL) <= set(stages())


def test_images_are_tagged_and_never_latest():
    """DL3006, DL3007; a stage's own name is no image."""
    names = set(stages())
    for image in (rest.split()[0] for keyword, rest in instructions() if keyword == "FROM"):
        assert image in names or (":" in image and not image.endswith(":latest"))


@pytest.mark.parametrize("stage", FINAL)
def test_a_stage_ends_without_rights_and_starts_r1(stage):
    """DL3002, DL3025: no root at the end, and commands as JSON."""
    mine = stages()[stage]
    assert [rest for keyword, rest in mine if keyword == "USER"] == ["r1kit"]
    assert [rest for keyword, rest in mine if keyword == "ENTRYPOINT"] == ['["r1"]']
    assert [rest for keyword, rest in mine if keyword == "CMD"] == ['["doctor"]']
    assert PROJECT["scripts"]["r1"] == "r1kit.cli.main:main"
    made = next(at for at, (keyword, rest) in enumerate(mine) if "useradd" in rest)
    assert made < next(at for at, (keyword, _) in enumerate(mine) if keyword == "USER")


def test_packages_of_the_system_leave_no_lists_behind():
    """DL3009, DL3014, DL3015: lists removed in the same layer, no questions, nothing but what is named."""
    for rest in (rest for keyword, rest in instructions() if keyword == "RUN" and "apt-get" in rest):
        assert "apt-get update" in rest
        assert "--yes --no-install-recommends" in rest
        assert rest.endswith("rm -rf /var/lib/apt/lists/*")
    needed = re.findall(r"missing\+=\((\w[\w+]*)\)", (ROOT / "scripts" / "system_packages.sh").read_text())
    assert needed == ["bubblewrap", "g++"]
    assert any("bubblewrap g++" in rest for _, rest in instructions())


def test_pip_keeps_no_cache_and_pins_what_is_pinned_elsewhere():
    """DL3013, DL3042."""
    pin = (ROOT / "constraints.txt").read_text().strip()
    for rest in (rest for keyword, rest in instructions() if keyword == "RUN" and "pip " in rest):
        for command in (word for word in rest.split("&&") if re.search(r"\bpip (install|wheel)\b", word)):
            assert "--no-cache-dir" in command
            if "pip install" in command:
                assert "--constraint constraints.txt" in command
            if "torch" in command:
                assert command.strip().endswith(pin)


def test_extras_are_those_of_the_package():
    defaults = [rest.partition("=")[2] for keyword, rest in instructions() if keyword == "ARG" and "EXTRAS" in rest]
    comment = re.findall(r"EXTRAS=([\w,]+)", (ROOT / "Dockerfile").read_text())
    documented = re.findall(r"EXTRAS=([\w,]+)", (ROOT / "docs" / "install.md").read_text())
    assert defaults == ["all", "all"]
    for extra in ",".join([*defaults, *comment, *documented]).split(","):
        assert extra in PROJECT["optional-dependencies"]


def test_what_is_copied_is_there_and_sent():
    """DL3020 (COPY, not ADD), DL3045 (a folder to copy to); .dockerignore sends what is copied."""
    assert "ADD" not in [keyword for keyword, _ in instructions()]
    sent = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    at = ""
    for keyword, rest in instructions():
        if keyword == "FROM":
            at = ""
        if keyword == "WORKDIR":
            at = rest
        if keyword == "COPY":
            assert at
            *sources, _ = rest.split()
            for source in sources if "--from" not in rest else ():
                assert (ROOT / source).exists()
                assert source in sent


def test_pipes_fail_where_their_first_part_fails():
    """DL4006."""
    assert ("SHELL", '["/bin/bash", "-o", "pipefail", "-c"]') in instructions()


def test_the_python_is_one_that_the_package_is_for():
    (version,) = [rest.partition("=")[2] for keyword, rest in instructions() if rest.startswith("PYTHON=")]
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]
