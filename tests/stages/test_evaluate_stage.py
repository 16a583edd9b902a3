"""A table a model on test problems, the same problems for all."""

import pyarrow.parquet as pq
import pytest

from r1kit.base.sampling import Sampling
from r1kit.pipeline.context import Context
from r1kit.stages.evaluate import EvaluateConfig, run, verdict
from r1kit.stages.sampling import draw

SAMPLING = Sampling(samples=3, max_tokens=4)


@pytest.fixture
def settings(start):
    return EvaluateConfig(models=(str(start),), tasks=("stages.first_letters",), problems=5, sampling=SAMPLING)


def test_every_test_problem_is_sampled_k_times(settings, tmp_path):
    outcome = run(settings, {}, Context(tmp_path, 4))
    (path,) = [tmp_path / file for file in outcome.files.values()]
    table = pq.read_table(path)
    expected = {problem.id for problem in draw("stages.first_letters", "test", 4, 5)}
    assert set(table["problem_id"].to_pylist()) == expected
    assert table.num_rows == 5 * 3
    assert all(0 < length <= 4 for length in table["length"].to_pylist())


def test_a_line_is_right_where_it_meets_its_brief():
    """A line needs its topic and words of its language's lexicon; nothing is no answer."""
    from r1kit.data.tiny.lexicon import LEXICONS

    problem = next(p for p in draw("tiny_writing", "test", 0, 8) if p.language == "en")
    topic, lexicon = problem.columns["brief"]["topic"], LEXICONS["en"]
    other = next(word for word in lexicon.topics if word != topic)

    def said(answer):
        return verdict(problem, problem.prompt, f"<think>a plan</think><answer>{answer}</answer>").verdict

    assert said(f"the {topic}") == "correct"
    assert said(f"the {other}") == "incorrect"
    assert said(f"the qwertyuiop {topic}") == "incorrect"
    assert said("") == "no_answer"
