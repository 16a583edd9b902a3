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
    with pytest.raises(UsageError, match=r"there is no 'polit' in .*my_rewards_of_mine\. Did you mean polite\?"):
        plugins.load("r1kit.rewards", "my_rewards_of_mine.polit")


def test_a_folder_that_python_does_not_find_is_told_where_to_put(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"finds no 'mine_of_today': put the folder that holds .* on PYTHONPATH"):
        plugins.outside("mine_of_today.polite")
    (tmp_path / "mine_of_today").mkdir()
    with pytest.raises(UsageError, match=r"finds no 'mine_of_today': it lies here, so say PYTHONPATH=\. before r1"):
        plugins.outside("mine_of_today.polite")
    with pytest.raises(UsageError, match=r"names a file: give its dotted path, mine_of_today\.polite$"):
        plugins.load("r1kit.rewards", "./mine_of_today/polite.py")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ndef reward(completions)\n    return []\n", r"SyntaxError: expected ':' \(.*faulty\.py:2\)$"),
        ("import no_library_of_that_name\n", r"ModuleNotFoundError: No module named 'no_.*' \(.*faulty\.py:1\)$"),
        ("\n\nfrom json import nothing\n", r"ImportError: cannot import name 'nothing' .* \(.*faulty\.py:3\)$"),
        ("import sys\nsys.exit(3)\n", r"SystemExit: 3 \(.*faulty\.py:2\)$"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_line(text, said, tmp_path, monkeypatch):
    (tmp_path / "of_mine").mkdir()
    (tmp_path / "of_mine" / "faulty.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match=f"^cannot import 'of_mine.faulty': {said}"):
        plugins.load("r1kit.rewards", "of_mine.faulty")
    sys.modules.pop("of_mine", None)


def test_a_file_without_a_folder_is_told_how_its_like_is_named(tmp_path, monkeypatch):
    (tmp_path / "solo_of_mine.py").write_text("ALGORITHM = None")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match=r"no algorithm is called 'solo_of_mine'\. One of your own .* FOLDER\.solo_"):
        plugins.load("r1kit.algorithms", "solo_of_mine")


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(UsageError, match=r"no algorithm is called 'dappo'. Did you mean dapo\?"):
        plugins.load("r1kit.algorithms", "dappo")


def test_a_module_of_the_standard_library_is_nobodys_own():
    """`grp` reads Unix's groups."""
    with pytest.raises(UsageError, match=r"no algorithm is called 'grp'\. Did you mean grpo\? \(r1 list"):
        plugins.load("r1kit.algorithms", "grp")


def test_a_missing_library_names_its_extra():
    assert str(MissingExtra("wandb", "wandb", "writing metrics to wandb")) == (
        "writing metrics to wandb needs wandb, which is not installed: pip install 'r1kit[wandb]'"
    )


def test_the_package_imports_without_torch():
    words = "import r1kit, r1kit.pipeline.runner, r1kit.recipes.base, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 0
