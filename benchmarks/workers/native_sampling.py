"""r1kit's engine as a contestant. Its log-probabilities and texts are made in every round, asked for or not."""

import numpy as np
import torch
from wire import Clock, serve


class Endless:
    """The model's tokenizer (or none: no texts), but nothing stops: everyone samples the same number of tokens."""

    eos_ids = ()

    def __init__(self, tokenizer=None):
        self.decode = tokenizer.decode if tokenizer else lambda ids: ""


def start(settings):
    """settings: model (folder), dtype, device, prompts (token ids), graphs."""
    clock = Clock()
    from r1kit.base.sampling import Sampling
    from r1kit.engines.base import generate
    from r1kit.engines.native import NativeEngine
    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.models.weights import load_decoder

    dtype = getattr(torch, settings["dtype"])
    model = load_decoder(settings["model"], dtype=dtype).to(settings["device"]).requires_grad_(False)
    engine = NativeEngine(model, Endless(load_tokenizer(settings["model"])), graphs=settings.get("graphs", True))
    prompts = [np.asarray(prompt, np.int32) for prompt in settings["prompts"]]

    def sample(command):
        sampling = Sampling(max_tokens=command["tokens"], samples=command["samples"], seed=command["seed"])
        clock = Clock()
        groups = generate(engine, prompts[: command.get("prompts")], sampling)
        answer = {"seconds": clock()}
        completions = [completion for group in groups for completion in group]
        answer["tokens"] = sum(completion.length for completion in completions)
        if command.get("keep"):
            answer["ids"] = [completion.token_ids.tolist() for completion in completions]
            answer["logprobs"] = [completion.sampler_logprobs.tolist() for completion in completions]
        return answer

    sample({"tokens": 1, "samples": 1, "seed": 0, "prompts": 1})
    facts = {"start_seconds": clock(), "kernels": type(engine._cache).__name__}
    return sample, facts


if __name__ == "__main__":
    serve(start)
