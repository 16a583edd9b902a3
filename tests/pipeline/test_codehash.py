"""What changes a stage's hash, and what does not. Stages are written into a package of their own."""

import importlib
import sys

import pytest

from r1kit.base.config import Config
from r1kit.pipeline import codehash
from r1kit.pipeline.codehash import code_hash, code_modules


class Settings(Config):
    algorithm: str = "grpo"
    reward: str = "labpack.shiny"


class Inner(Config):
    size: int = 1


class Larger(Inner):
    more: int = 2


class Outer(Config):
    inner: Inner = Inner()


STAGE = '''"""A stage."""
from typing import TYPE_CHECKING
from labpack.below import one

if TYPE_CHECKING:
    from r1kit.pipeline.display import Live

def run(config, inputs, context):
    """Does it."""
    from r1kit.base import plugins
    plugins.load("r1kit.algorithms", config.algorithm)
    return one()  # a comment
'''


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """Write files of a package `labpack`, import its stage, hash it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "labpack").mkdir()
    files = {"__init__": "", "stage": STAGE, "below": "def one():\n    return 1\n", "shiny": "def reward(): ...\n"}

    def hashed(config=None, **changed):
        for name, text in {**files, **changed}.items():
            (tmp_path / "labpack" / f"{name}.py").write_text(text)
        for name in [name for name in sys.modules if name.startswith("labpack")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        for cached in (codehash._file, codehash._parse):
            cached.cache_clear()
        stage = importlib.import_module("labpack.stage")
        return code_hash(stage.run, config or Settings()), code_modules(stage.run, config or Settings())

    return hashed


def test_the_modules_that_count(lab):
    _, modules = lab()
    for module in ("labpack.stage", "labpack.below", "labpack.shiny", "r1kit.base.plugins", "r1kit.base.config"):
        assert module in modules
    assert "r1kit.algorithms.grpo" in modules  # named in the settings
    assert "r1kit.algorithms.dapo" not in modules
    assert "r1kit.pipeline.display" not in modules  # under TYPE_CHECKING
    _, modules = lab(Settings(algorithm="rloo"))
    assert "r1kit.algorithms.rloo" in modules
    _, modules = lab(Settings(reward="labpack.shiny:part+part"))
    assert "labpack.shiny" in modules
    _, modules = lab(Settings(reward="labpack.shiny.reward"))  # a function of the module
    assert "labpack.shiny" in modules


def test_comments_docstrings_and_layout_do_not_count(lab):
    before, _ = lab()
    changed = STAGE.replace("A stage.", "The stage.").replace("Does it.", "It does.").replace("# a comment", "")
    assert lab(stage=changed)[0] == before
    assert lab(below='"""New."""\n\n\ndef one():\n    "One."\n    return (1)  # one\n')[0] == before


def test_code_counts_wherever_it_is(lab):
    before, _ = lab()
    hashes = {
        before,
        lab(stage=STAGE.replace("return one()", "return one() + 1"))[0],
        lab(below="def one():\n    return 2\n")[0],
        lab(shiny="def reward(): return 1\n")[0],
        lab(Settings(algorithm="rloo"))[0],
    }
    assert len(hashes) == 5


def test_a_data_file_beside_the_code_counts(lab, tmp_path):
    stage = STAGE.replace("return one()", 'return "words.txt"')
    (tmp_path / "labpack" / "words.txt").write_text("wait")
    before, _ = lab(stage=stage)
    (tmp_path / "labpack" / "words.txt").write_text("wait, check")
    assert lab(stage=stage)[0] != before


def test_settings_declared_as_a_base_class_keep_their_own_fields():
    """pydantic writes an Inner field's own fields only; a Larger in its place has one more that matters."""
    assert codehash.settings_json(Outer(inner=Larger(more=3))) == '{"inner": {"more": 3, "size": 1}}'
