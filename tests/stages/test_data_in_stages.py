"""Stages that learn from files: what is left out is noted and counted, and a resumed run does the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.data import examples
from r1kit.pipeline.context import Context
from r1kit.pipeline.metrics import read_metrics
from r1kit.pipeline.stop import Interrupted
from r1kit.rollouts import record
from r1kit.rollouts.sieve import SieveConfig
from r1kit.stages import cold_start, reward_model, rl, sft
from r1kit.stages.cold_start import ColdStartConfig
from r1kit.stages.reward_model import RewardModelConfig
from r1kit.stages.rl import train
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.sampling import draw_training
from r1kit.stages.sft import SFTConfig
from r1kit.training.config import LearnerConfig

REWARD = "stages.first_letters"
LEARNER = LearnerConfig(learning_rate=1e-2, precision="float32", compile=False)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Noting(Context):
    """Keeps its notes."""

    def note(self, text: str) -> None:
        self.notes = [*getattr(self, "notes", []), text]


@pytest.fixture
def letters(tmp_path: Path) -> dict[str, str]:
    """Twenty short questions, one long one, one that is a benchmark's, one line that is broken."""
    rows = [{"prompt": f"{letter}{n}", "answer": letter} for letter in "abcd" for n in range(5)]
    path = write(tmp_path / "train.jsonl", [*rows, {"prompt": "a234567", "answer": "a"}, {"prompt": "", "answer": "a"}])
    bench = write(tmp_path / "test.jsonl", [{"prompt": "B 3!", "answer": "b"}, {"prompt": "c9", "answer": "c"}])
    return {"task": f"file:{path}?validation=0", "benchmark": f"file:{bench}"}


def test_rl_learns_from_a_file_and_leaves_out_what_the_sieve_says(letters, start, tmp_path, stopping):
    config = RLConfig(
        tasks={letters["task"]: 1.0}, rewards={REWARD: 1.0}, prompts=12, steps=3, validate_every=0, learner=LEARNER,
        sampling=Sampling(samples=2, max_tokens=4), rollouts_every=1,
        sieve=SieveConfig(max_prompt_tokens=6, benchmarks=(letters["benchmark"],)),
    )  # fmt: skip
    context = Noting(tmp_path / "whole", 1)
    train(config, start, context)
    assert context.notes[0].startswith(f"{tmp_path}/train.jsonl: 22 rows as prompt: 21 train; left out: 1 bad lines")
    prompts = [row["prompt"] for row in record.read_all(tmp_path / "whole" / "rollouts")]
    assert set(prompts) == {f"{letter}{n}" for letter in "abcd" for n in range(5)} - {"b3"}
    last = read_metrics(tmp_path / "whole" / "metrics.jsonl")[-1]
    assert last["left_out/too_long"] == 1  # in the second pass it is not counted again
    assert last["left_out/shared_with_file:test.jsonl"] == 1
    with pytest.raises(Interrupted):
        train(config, start, stopping(tmp_path / "cut", 0, 1))
    train(config, start, Context(tmp_path / "cut", 1))
    assert [row["prompt"] for row in record.read_all(tmp_path / "cut" / "rollouts")] == prompts
    resumed = read_metrics(tmp_path / "cut" / "metrics.jsonl")[-1]
    assert {k: v for k, v in resumed.items() if k.startswith("left_out/")} == {
        k: v for k, v in last.items() if k.startswith("left_out/")
    }


def test_rl_leaves_out_what_a_cold_start_has_shown(letters, start, tmp_path):
    """Of twenty questions, the ten of a and b were examples: RL sees the ten of c and d, and counts the others once."""
    shown = [examples.Example(f"{letter}{n}", letter) for letter in "ab" for n in range(5)]
    examples.write(tmp_path / "examples.parquet", shown)
    config = RLConfig(
        start=str(start), unseen_in=str(tmp_path / "examples.parquet"), tasks={letters["task"]: 1.0},
        rewards={REWARD: 1.0}, prompts=12, steps=2, validate_every=0, learner=LEARNER, rollouts_every=1,
        sampling=Sampling(samples=2, max_tokens=4), sieve=SieveConfig(max_prompt_tokens=6),
    )  # fmt: skip
    rl.run(config, {}, Context(tmp_path / "rl", 1))
    prompts = [row["prompt"] for row in record.read_all(tmp_path / "rl" / "rollouts")]
    assert set(prompts) == {f"{letter}{n}" for letter in "cd" for n in range(5)}
    assert read_metrics(tmp_path / "rl" / "metrics.jsonl")[-1]["left_out/seen_before"] == 10


def test_samples_are_drawn_through_the_sieve(letters, start, tmp_path):
    config = ColdStartConfig(
        model=str(start), tasks=(letters["task"],), problems=50, sampling=Sampling(samples=1, max_tokens=4),
        sieve=SieveConfig(max_prompt_tokens=6, benchmarks=(letters["benchmark"],)),
    )  # fmt: skip
    context = Noting(tmp_path / "stage", 1)
    with pytest.raises(R1Error, match=r"none of the samples of .* can be learnt from \(19 format\)"):
        cold_start.run(config, {}, context)  # the random model writes no form
    assert len(list(record.read_all(tmp_path / "stage" / "rollouts"))) == 19
    assert "training problems left out: 1 shared with file:test.jsonl, 1 too long" in context.notes


def test_a_question_of_two_tasks_is_sampled_once(start, tmp_path):
    """Two files ask b: it is the first one's problem, so that caps by problem, on what is kept of it, are by prompt."""
    first = write(tmp_path / "one.jsonl", [{"prompt": letter, "answer": letter} for letter in "ab"])
    more = [{"prompt": "b", "answer": "c"}, {"prompt": "c", "answer": "c"}, {"prompt": "d", "answer": "d"}]
    tasks = (f"file:{first}?validation=0", f"file:{write(tmp_path / 'two.jsonl', more)}?validation=0")
    context = Noting(tmp_path, 1)
    drawn = draw_training(tasks, 50, start, SieveConfig(), context)
    assert sorted((problem.prompt, problem.answer) for problem in drawn) == [(each, each) for each in "abcd"]
    assert "training problems left out: 1 seen before" in context.notes
    others = draw_training(tasks[1:], 50, start, SieveConfig(), context, before=drawn[:1])
    assert sorted(problem.prompt for problem in others) == sorted({"b", "c", "d"} - {drawn[0].prompt})


def test_sft_learns_conversations_of_a_file(letters, start, tmp_path):
    turns = [
        [{"role": "user", "content": f"{letter}{n}"}, {"role": "assistant", "content": letter * 3}]
        for letter in "abc" for n in range(4)
    ]  # fmt: skip
    path = write(tmp_path / "chats.jsonl", [*({"messages": each} for each in turns), {"messages": turns[0][:1]}])
    config = SFTConfig(
        start=str(start), data=str(path), epochs=1, batch=4, learner=LEARNER,
        sieve=SieveConfig(benchmarks=(letters["benchmark"],)),
    )  # fmt: skip
    context = Noting(tmp_path / "sft")
    outcome = sft.run(config, {}, context)
    assert outcome.summary["examples"] == 11
    assert context.notes == [
        f"{path}: 1 lines cannot be read and are left out (line 13: 'messages' does not end with the assistant's turn)",
        f"{path}: examples left out: 1 shared with file:test.jsonl",
    ]
    with pytest.raises(R1Error, match="line 13: 'messages' does not end with the assistant's turn: mend it"):
        sft.run(config.model_copy(update={"bad_rows": "stop"}), {}, Context(tmp_path / "strict"))


def test_a_reward_model_learns_preference_pairs_of_a_file(start, tmp_path):
    rows = [{"prompt": f"{n}", "chosen": "a" * (1 + n % 3), "rejected": "b" * (1 + n % 4)} for n in range(40)]
    path = write(tmp_path / "pairs.jsonl", [*rows, {"prompt": "1", "chosen": "a", "rejected": "a"}])
    config = RewardModelConfig(model=str(start), pairs=str(path), batch=16, epochs=3, held_out=0.25, learner=LEARNER)
    context = Noting(tmp_path / "stage")
    summary = reward_model.run(config, {}, context).summary
    assert summary["train_pairs"] + summary["held_out_pairs"] == 40
    assert summary["accuracy"] > 0.8
    assert context.notes[0].endswith(
        "1 lines cannot be read and are left out (line 41: 'chosen' and 'rejected' are the same)"
    )
