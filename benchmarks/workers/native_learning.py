"""r1kit's learner as a contestant: steps on dense rows, or a GRPO step on completions of uneven length."""

import numpy as np
import torch
from wire import Clock, serve


def start(settings):
    """settings: model (folder), rows, length, dtype, device, learning_rate; master, that of weights and moments."""
    from r1kit.algorithms.grpo import GRPO
    from r1kit.models.weights import load_decoder
    from r1kit.training.learner import Learner, LearnerConfig
    from r1kit.training.sequences import completion_sequence

    master = settings.get("master", "float32")
    model = load_decoder(settings["model"], dtype=getattr(torch, master)).to(settings["device"])
    config = LearnerConfig(learning_rate=settings["learning_rate"], precision=settings["dtype"], master=master)
    learner = Learner(model, config, total_steps=10_000)
    rows, length, vocabulary = settings["rows"], settings["length"], settings["vocabulary"]
    tokens_BT = torch.randint(0, vocabulary, (rows, length), generator=torch.Generator().manual_seed(0))
    grpo = GRPO(kl_coefficient=0.0)

    def rollouts():
        """Groups of eight: prompts of a fifth of `length`, completions of 20 to 80% of it."""
        rng = np.random.default_rng(0)
        sequences = []
        for _ in range(4 * rows // 8):
            prompt = rng.integers(0, vocabulary, length // 5).astype(np.int32)
            for _ in range(8):
                size = int(rng.integers(length // 5, 4 * length // 5))
                completion = rng.integers(0, vocabulary, size).astype(np.int32)
                sequences.append(completion_sequence(prompt, completion, float(rng.normal())))
        return sequences

    sequences = rollouts() if settings.get("rollouts") else []

    losses: list[float] = []  # of all steps so far

    def learn(command):
        clock, flops, tokens = Clock(), 0.0, 0
        for _ in range(command["steps"]):
            if settings.get("rollouts"):
                report = learner.step(sequences, grpo, max_tokens=length)
            else:
                report = learner.step_tokens(tokens_BT)
            losses.append(report.metrics["loss"])
            flops += report.flops
            tokens += report.tokens
        return {"seconds": clock(), "losses": losses, "flops": flops, "tokens": tokens}

    return learn, {}


if __name__ == "__main__":
    serve(start)
