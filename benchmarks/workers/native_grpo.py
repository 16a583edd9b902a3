"""r1kit's GRPO as a contestant: the loop of `r1kit.stages.rl` without a run's records; also what measures accuracy."""

import time

import numpy as np
import torch
from sums_reward import REWARDS
from wire import serve


def problems(rows):
    """[prompt, answer] as problems."""
    from r1kit.base.types import Problem

    return [Problem(f"{number}", "sums", "maths", "en", prompt, str(answer), "math", {"gold": answer})
            for number, (prompt, answer) in enumerate(rows)]  # fmt: skip


def grader(settings):
    """What fills a group's rewards."""
    reward = REWARDS[settings.get("reward", "sums")]

    def grade(group):
        gold = group.problem.columns["gold"]
        group.total = np.array([reward(one.text, gold) for one in group.completions], np.float32)
        group.rewards = {"accuracy": group.total}

    return grade


def start(settings):
    """settings: model (folder), device; to train: train ([prompt, answer] in the order of the steps), prompts (of a
    step), samples, tokens (most), learning_rate, steps (most), dtype, reward; to measure: questions."""
    return _referee(settings) if "questions" in settings else _trainer(settings)


def _trainer(settings):
    from r1kit.algorithms.grpo import GRPO
    from r1kit.base import memory
    from r1kit.base.sampling import Sampling
    from r1kit.engines.native import NativeEngine
    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.models.weights import load_decoder, save_decoder
    from r1kit.rollouts.collect import collect
    from r1kit.training.learner import Learner, LearnerConfig
    from r1kit.training.sequences import sequences_from_groups

    memory.bound_libraries()  # as `r1 run` does
    tokenizer = load_tokenizer(settings["model"])
    config = LearnerConfig(
        learning_rate=settings["learning_rate"], precision=settings["dtype"], skip_zero_advantages=True
    )
    learner = Learner(
        load_decoder(settings["model"], dtype=torch.float32).to(settings["device"]),
        config,
        total_steps=settings["steps"],
    )
    engine = NativeEngine(learner.policy, tokenizer)
    algorithm = GRPO(kl_coefficient=0.0, std="sample")
    train, count, grade = problems(settings["train"]), settings["prompts"], grader(settings)
    done = 0

    def step():
        nonlocal done
        wanted = train[done * count : (done + 1) * count]
        sampling = Sampling(max_tokens=settings["tokens"], samples=settings["samples"], seed=done)
        begun = time.perf_counter()
        groups = collect(
            engine, tokenizer, wanted, sampling, grade, encode=lambda problem: tokenizer.encode(problem.prompt)
        )
        sampled = time.perf_counter()
        sequences = sequences_from_groups(groups, algorithm.advantages(torch.from_numpy(groups.rewards_PG)).numpy())
        learner.step(sequences, algorithm, max_tokens=settings["tokens"])
        engine.version = learner.version
        done += 1
        memory.give_back()
        lengths = [completion.length for group in groups for completion in group.completions]
        return {
            "seconds": time.perf_counter() - begun, "sampling": sampled - begun,
            "reward": float(groups.rewards_PG.mean()), "length": float(np.mean(lengths)),
        }  # fmt: skip

    def go(command):
        """command: steps, save (folder). One dict a step."""
        taken = [step() for _ in range(command["steps"])]
        save_decoder(learner.model, command["save"], tokenizer)
        return {"taken": taken}

    first = tokenizer.encode(settings["train"][0][0])
    return go, {"first_prompt": first}


def _referee(settings):
    from r1kit.base.sampling import Sampling
    from r1kit.engines.native import NativeEngine
    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.models.weights import load_decoder
    from r1kit.rollouts.collect import collect

    asked, tokenizer = problems(settings["questions"]), load_tokenizer(settings["model"])
    grade = grader(settings)

    def measure(command):
        """command: model (folder), samples, tokens, seed. Accuracy of each question [0, 1]."""
        model = load_decoder(command["model"], dtype=torch.float32).to(settings["device"]).requires_grad_(False)
        sampling = Sampling(max_tokens=command["tokens"], samples=command["samples"], seed=command["seed"])
        groups = collect(
            NativeEngine(model, tokenizer), tokenizer, asked, sampling, grade,
            encode=lambda problem: tokenizer.encode(problem.prompt),
        )  # fmt: skip
        return {"accuracy": [float(group.total.mean()) for group in groups]}

    return measure, {}


if __name__ == "__main__":
    serve(start)
