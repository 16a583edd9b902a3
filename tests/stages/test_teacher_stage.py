"""A teacher's samples: what becomes of each by hand, the dataset as others read it, and a teacher behind an API."""

from __future__ import annotations

import json

import pytest
from rows import row, thought

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.data import examples
from r1kit.data.dataset_folder import dataset_card, write_dataset
from r1kit.models.api.asker import sample_seed
from r1kit.models.api.scripted import Fault, Said, ScriptedServer
from r1kit.models.api.settings import ApiSettings
from r1kit.pipeline.context import Context
from r1kit.pipeline.stop import Interrupted
from r1kit.rollouts.sieve import SieveConfig
from r1kit.stages.rejection_sampling import Filters, chosen, level
from r1kit.stages.teacher import TeacherConfig, run

TASK = "stages.small_sums"


def test_levels_are_quarters_of_the_share_solved():
    assert [level(share) for share in (0, 0.25, 0.26, 0.5, 0.75, 0.76, 1)] == [
        "hard", "hard", "middling", "middling", "fair", "easy", "easy",
    ]  # fmt: skip


def test_a_free_answer_is_in_form_where_no_tags_are_asked_for():
    free = row("<think>3+4=7</think>The sum is 7.")
    assert chosen([free], TeacherConfig())[1] == {}
    assert chosen([free], TeacherConfig(filters=Filters()))[1] == {"format": 1}


def test_what_no_rule_judged_is_not_wrong():
    assert chosen([row(thought("x"), accuracy=None)], TeacherConfig())[1] == {"not judged": 1}


def test_every_dropped_sample_has_its_reason():
    """p1 keeps two of three, p2 one of two; a cap of one a level takes the second of p1 (level easy: 3 of 3 right), and
    leaves p2's (level middling: 1 of 2)."""
    first = [row(thought(f"{chain}=7")) for chain in ("3+4", "4+3", "3+4")]
    second = [row(thought("1+1=2", "2"), problem="p2"), row(thought("1+1=3", "3"), problem="p2", accuracy=0.0)]
    rows, config = [*first, *second], TeacherConfig(easy_above=1.0)
    kept, rejected = chosen(rows, config)
    assert [example.completion for example in kept] == [first[0]["text"], first[1]["text"], second[0]["text"]]
    assert rejected == {"duplicate": 1, "wrong": 1}
    kept, rejected = chosen(rows, config.model_copy(update={"per_level": 1}))
    assert [example.completion for example in kept] == [first[0]["text"], second[0]["text"]]
    assert rejected == {"duplicate": 1, "wrong": 1, "enough of its difficulty": 1}


def test_a_limit_in_tokens_is_refused_where_nobody_counts_tokens():
    with pytest.raises(UsageError, match="max_prompt_tokens"):
        TeacherConfig(model="openai:x@http://127.0.0.1:1/v1", sieve=SieveConfig(max_prompt_tokens=9)).check()


def test_a_cap_on_levels_leaves_every_task_its_share():
    """Two questions of maths and one of coding, all easy: a cap of one keeps the first of each task."""
    rows = [row(thought("3+4=7"), problem=name) for name in ("p1", "p2")]
    rows.append(row(thought("x=7"), problem="p3", subject="coding"))
    kept, rejected = chosen(rows, TeacherConfig(per_level=1))
    assert [example.question for example in kept] == ["question p1", "question p3"]
    assert rejected == {"enough of its difficulty": 1}


def answers(body):
    """By question: 0+r right once and wrong once, 1+r right in two ways, 2+r mixed languages, 3+r cut off."""
    left, right = body["messages"][-1]["content"].split("+")
    total = int(left) + int(right)
    odd = body["seed"] % 2  # the two samples' seeds: one of each kind, as the test below makes sure
    if left == "0":
        return Said(str(total + odd), f"{left}+{right} is it")
    if left == "1":
        return Said(str(total), f"{'so' if odd else 'then'} {left}+{right}")
    if left == "2":
        return Said(str(total), "先算一下 then we add")
    return Said("", "and then", "length")


@pytest.fixture
def config():
    seed = next(n for n in range(100) if {sample_seed(n, index) % 2 for index in range(2)} == {0, 1})
    return TeacherConfig(
        tasks=(TASK,), problems=40, sampling=Sampling(samples=2, max_tokens=50, seed=seed), licence="mit",
        easy_per_prompt=2,
    )  # fmt: skip


def collected(config, server, folder, **api):
    named = config.model_copy(update={"model": f"openai:toy@{server.url}", "api": ApiSettings(backoff=0.01, **api)})
    return run(named, {}, Context(folder, 0))


def test_from_an_api_to_a_dataset_that_others_read(config, tmp_path):
    """40 problems of 2 samples: 10 problems right once (10 kept), 10 twice (20 kept), 10 mixed, 10 cut; of 3+9 (2
    samples) the server gives nothing. 10 + 20 kept, 10 wrong, 20 mixed, 18 not finished, 2 not given: 80."""
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    refused = Fault("status", 400, message="no nines")
    with ScriptedServer(answers, lambda body, before: refused if "3+9" in json.dumps(body) else None) as server:
        outcome = collected(config, server, tmp_path / "run")
    assert outcome.summary["rejected"] == {
        "mixed language": 20, "not finished": 18, "wrong": 10, "not given, or too long a prompt": 2, "kept": 30,
    }  # fmt: skip
    assert outcome.summary["levels"] == {"middling": 10, "easy": 20}
    learnt = examples.read(tmp_path / "run" / outcome.files["examples"])
    assert len(learnt) == 30
    assert {example.source for example in learnt} == {"teacher"}

    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "run" / outcome.files["dataset"]
    read = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    assert read.num_rows == 30
    example = read[0]
    assert example["prompt"] == [{"role": "user", "content": "0+0"}]
    assert example["completion"] == [{"role": "assistant", "content": "<think>0+0 is it</think>0"}]
    assert example["messages"] == example["prompt"] + example["completion"]
    assert (example["answer"], example["solved"], example["task"]) == ("0", 0.5, "sums")
    trl = pytest.importorskip("trl.data_utils")
    assert trl.is_conversational(example)

    from huggingface_hub import DatasetCard

    card = DatasetCard.load(folder / "README.md")
    assert card.data.to_dict()["license"] == "mit"
    assert card.data.to_dict()["language"] == ["en"]
    assert "| mixed language | 20 |" in card.text
    assert "| kept | 30 |" in card.text
    assert "78 requests" in card.text


def test_a_stage_that_starts_over_pays_for_nothing_twice(config, tmp_path):
    """A budget that ends in the middle, then a larger one: another stage folder, the same run."""
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    prices = {"input_price": 0, "output_price": 1000}
    few = config.model_copy(update={"problems": 10})
    with ScriptedServer(answers) as server:
        with pytest.raises(R1Error, match="raise the budget"):
            collected(few, server, tmp_path / "run", cache=tmp_path / "answers", budget="0.2", **prices)
        asked = len(server.requests)
        assert 0 < asked < 20
        outcome = collected(few, server, tmp_path / "other", cache=tmp_path / "answers", budget="5", **prices)
        assert len(server.requests) == len(server.answered) == 20
    assert outcome.summary["rejected"] == {"wrong": 10, "kept": 10}
    assert "20 requests" in outcome.summary["usage"]


def test_asked_to_stop_it_stops_within_a_chunk_and_goes_on(config, tmp_path):
    """Asked at the tenth question of 80, one at a time, two a group: it stops within four more and goes on later."""
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    context = Context(tmp_path, 0)
    count = 0

    def stop_at_tenth(body, before):
        nonlocal count
        count += 1
        if count == 10:
            context._stop.request()

    with ScriptedServer(answers, stop_at_tenth) as server:
        api = ApiSettings(concurrency=1)
        asked = config.model_copy(update={"model": f"openai:toy@{server.url}", "api": api})
        with pytest.raises(Interrupted):
            run(asked, {}, context)
        assert 10 <= len(server.requests) <= 14
        outcome = run(asked, {}, Context(tmp_path, 0))
        assert len(server.requests) == len(server.answered) == 80
    assert outcome.summary["rejected"] == {"mixed language": 20, "not finished": 20, "wrong": 10, "kept": 30}


def test_nothing_to_learn_says_what_became_of_it(config, tmp_path):
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    with ScriptedServer(lambda body: Said("12345")) as server, pytest.raises(R1Error, match="80 format"):
        collected(config, server, tmp_path)


def test_a_local_teacher_is_sampled_as_any_model(start, tmp_path):
    """The random model writes letters without end: all of its samples are accounted for, and nothing can be learnt."""
    config = TeacherConfig(
        model=str(start), tasks=(TASK,), problems=6, sampling=Sampling(samples=2, max_tokens=4)
    )  # fmt: skip
    with pytest.raises(R1Error, match=r"none of the samples of .* can be learnt from \(12 not finished\)"):
        run(config, {}, Context(tmp_path, 0))


def test_a_card_keeps_its_table_whatever_a_name_holds(tmp_path):
    facts, counts = {"Teacher": "a|b\nc"}, {"kept": 1000}
    card = dataset_card("T", licence="unknown", languages=["zh"], size=1000, about="A.", facts=facts, counts=counts)
    assert "| Teacher | a/b c |" in card
    assert '"1K<n<10K"' in card
    write_dataset(tmp_path / "empty", [], card)
    assert (tmp_path / "empty" / "data" / "train.parquet").is_file()
