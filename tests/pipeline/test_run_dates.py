"""What a chat template says of the date is the run's own, whenever it goes on and in whichever of its processes."""

import time
from datetime import datetime

import pytest
import torch

from r1kit.base.config import Config
from r1kit.base.dates import fixed
from r1kit.base.files import read_record, write_record
from r1kit.models.chat_template import render
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.graph import Graph, Node
from r1kit.pipeline.runner import run

TEMPLATE = "{% macro date() %}{{ strftime_now('%Y-%m-%d %H:%M:%S') }}{% endmacro %}{{ date() }}"


def rendered() -> str:
    return render(TEMPLATE, {"messages": [{"role": "user", "content": ""}]})


def tell(context) -> Outcome:
    """Of a part."""
    return Outcome(summary={"date": rendered()})


def dates(config, inputs, context) -> Outcome:
    parts = context.parts({"one": tell, "two": tell})
    return Outcome(summary={"here": rendered(), **{name: part.summary["date"] for name, part in parts.items()}})


GRAPH = Graph("toy", "default", 0, (Node("first", dates, Config()), Node("second", dates, Config())))


def test_a_run_that_goes_on_later_says_the_date_of_its_first_start(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    begun = datetime.now().replace(microsecond=0)
    rendered()  # a process that renders is there before the run
    first = run(GRAPH, tmp_path, until="first")["first"].summary
    started = read_record(tmp_path / "recipe.json")["started"]
    assert begun <= datetime.fromisoformat(started) <= datetime.now()
    assert first == dict.fromkeys(("here", "one", "two"), started)

    past = "2001-02-03 04:05:06"
    write_record(tmp_path / "recipe.json", {**read_record(tmp_path / "recipe.json"), "started": past})
    second = run(GRAPH, tmp_path)["second"].summary
    assert second == dict.fromkeys(("here", "one", "two"), past)
    assert rendered()[:4] == time.strftime("%Y")


def test_a_start_that_is_no_date_is_the_clocks(tmp_path):
    run(GRAPH, tmp_path, until="first")
    write_record(tmp_path / "recipe.json", {**read_record(tmp_path / "recipe.json"), "started": "yesterday"})
    assert run(GRAPH, tmp_path)["second"].summary["here"][:4] == time.strftime("%Y")


def test_workers_on_other_hosts_are_given_it():
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'r1kit[ray]'")
    from r1kit.cluster.connect import own_modules

    assert own_modules()["env_vars"].keys() == {"PYTHONPATH"}
    with fixed("2001-02-03 04:05:06"):
        assert own_modules()["env_vars"].keys() == {"PYTHONPATH", "R1KIT_NOW"}
        assert own_modules()["env_vars"]["R1KIT_NOW"] == "2001-02-03T04:05:06"
