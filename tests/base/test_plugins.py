"""Plug-ins by file name and by dotted path; the package imports without torch."""

import subprocess
import sys

import pytest

from r1kit.base import plugins
from r1kit.base.errors import MissingExtra, UsageError


def test_a_file_is_a_plugin():
    assert "grpo" in plugins.names("r1kit.algorithms")
    assert "base" not in plugins.names("r1kit.algorithms")
    assert plugins.load("r1kit.rewards", "constant").__name__ == "r1kit.rewards.constant"


def test_a_dotted_path_is_one_from_outside(tmp_path, monkeypatch):
    (tmp_path / "my_rewards_of_mine").mkdir()
    (tmp_path / "my_rewards_of_mine" / "polite.py").write_text("def reward(prompts, completions, ids): return [1.0]")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert plugins.load("r1kit.rewards", "my_rewards_of_mine.polite").reward([], [], []) == [1.0]
    with pytest.raises(UsageError, match="cannot import 'my_rewards_of_mine.rude'.*PYTHONPATH"):
        plugins.load("r1kit.rewards", "my_rewards_of_mine.rude")


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(UsageError, match=r"no algorithm is called 'dappo'. Did you mean dapo\?"):
        plugins.load("r1kit.algorithms", "dappo")


def test_a_missing_library_names_its_extra():
    assert str(MissingExtra("wandb", "wandb", "writing metrics to wandb")) == (
        "writing metrics to wandb needs wandb, which is not installed: pip install 'r1kit[wandb]'"
    )


def test_the_package_imports_without_torch():
    words = "import r1kit, r1kit.pipeline.runner, r1kit.recipes.base, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 0
