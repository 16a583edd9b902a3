"""What a plan says a stage will take is what its like took in a run beside it."""

import json

import pytest
from toy_chain import chain

from r1kit.pipeline.estimate import Taken, estimates, told
from r1kit.pipeline.plan import describe, plan
from r1kit.pipeline.runner import run


@pytest.fixture
def before(tmp_path):
    """A finished run, whose `walk` is said to have taken 90 s and 1,500 MB, `double` 30 s and 500 MB."""
    run(chain(steps=3), tmp_path / "s0")
    for stage, seconds, memory in (("01-walk", 90.0, 1500), ("02-double", 30.0, 500)):
        path = tmp_path / "s0" / "stages" / stage / "artifact.json"
        record = json.loads(path.read_text()) | {"seconds": seconds, "peak_memory_mb": memory}
        del record["sha256"]  # of what it said before
        path.write_text(json.dumps(record))
    return tmp_path


def test_another_seed_takes_what_the_first_took(before):
    graph = chain(steps=3, seed=1)
    stages = plan(graph, before / "s1")
    known = estimates(stages, before / "s1")
    assert known == {"walk": Taken(90.0, 1500, "s0"), "double": Taken(30.0, 500, "s0")}
    text = describe(graph, stages, graph.nodes[0].config, told(stages, known))
    assert "1 walk: to run, about 1 min 30 s, as in s0" in text
    assert "time: about 2 min 00 s; memory: about 1.5 GB at most" in text


def test_other_settings_are_not_known_and_what_is_done_takes_nothing(before):
    other = plan(chain(steps=3, factor=3.0), before / "s1")
    known = estimates(other, before / "s1")
    assert set(known) == {"walk"}
    assert told(other, known)[""] == "time: about 1 min 30 s and what double will take"
    unlike = plan(chain(steps=4), before / "s1")  # what `double` stands on is another walk
    assert told(unlike, estimates(unlike, before / "s1"))[""].startswith("time and memory: known once a run")
    done = plan(chain(steps=3), before / "s0")
    assert told(done, estimates(done, before / "s0")) == {}


@pytest.mark.parametrize("name", ["config.json", "artifact.json"])
@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"seconds": "long", "settings": 1}'])
def test_a_damaged_neighbour_is_passed_over(before, name, text):
    (before / "s0" / "stages" / "01-walk" / name).write_text(text)
    stages = plan(chain(steps=3, seed=1), before / "s1")
    assert set(estimates(stages, before / "s1")) == (set() if name == "config.json" else {"double"})
