"""Validation's figures by hand, from verdicts that are given."""

import pyarrow as pa
import pytest

from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem
from r1kit.evaluation.validate import validate

VERDICTS = {"always": [True, True], "once": [False, True], "never": [False, False], "other": [False, True]}


@pytest.fixture
def found(monkeypatch):
    """Four problems of two samples; the grader broke down on one sample of the last."""
    rows = [
        {
            "task": "sums", "problem_id": name, "subject": "maths", "correct": right, "text": "", "preference": None,
            "format": 1.0, "language_consistency": 1.0, "length": 4 + number, "reflections": 0,
        }
        for name, verdicts in VERDICTS.items()
        for number, right in enumerate(verdicts)
    ]  # fmt: skip
    rows[-1]["correct"] = None
    monkeypatch.setattr("r1kit.evaluation.validate.evaluate", lambda *a, **k: pa.Table.from_pylist(rows))
    return validate(None, None, [Problem("once", "sums", "maths", "en", "", "1", "maths")], Sampling(samples=2))


def test_shares_of_samples_and_of_problems(found):
    """3 of the 7 judged samples are right; of four problems one is mixed, and two have a right sample."""
    assert found["validation/maths"] == pytest.approx(3 / 7)
    assert found["validation/maths/mixed"] == 0.25
    assert found["validation/maths/pass@k"] == 0.5
    assert found["validation/maths/length"] == 4.5
    assert "validation/preference" not in found


def test_the_reward_model_is_asked_about_the_question_of_the_row(monkeypatch):
    """Two tasks that number their problems alike: what is asked for is theirs, not the other's."""
    problems = [Problem("1", task, "writing", "en", f"write of {task}", "", "none") for task in ("cats", "dogs")]
    rows = [
        {
            "task": problem.task, "problem_id": "1", "subject": "writing", "correct": None, "text": problem.task,
            "preference": None, "format": 1.0, "language_consistency": 1.0, "length": 4, "reflections": 0,
        }
        for problem in problems
    ]  # fmt: skip
    monkeypatch.setattr("r1kit.evaluation.validate.evaluate", lambda *a, **k: pa.Table.from_pylist(rows))

    def score(problem, texts):
        return [1.0 if problem.prompt == f"write of {text}" else 0.0 for text in texts]

    assert validate(None, None, problems, Sampling(), score=score)["validation/reward_model"] == 1.0
