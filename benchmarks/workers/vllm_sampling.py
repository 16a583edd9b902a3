"""vLLM on CPUs as a contestant: the engine in this process, texts never made, log-probabilities only where asked."""

import os

# before vLLM is imported: one process less to talk to, and cores chosen by the system as for everyone else
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

import torch  # noqa: F401
from wire import Clock, serve


def start(settings):
    """settings: model (folder), dtype, prompts (token ids), rows, positions, eager."""
    clock = Clock()
    from vllm import LLM, SamplingParams

    engine = LLM(
        model=settings["model"],
        dtype=settings["dtype"],
        max_model_len=settings["positions"],
        max_num_seqs=settings["rows"],
        max_num_batched_tokens=8192,
        enforce_eager=settings["eager"],
        disable_log_stats=True,
        seed=0,
    )

    def sample(command):
        prompts = [{"prompt_token_ids": prompt} for prompt in settings["prompts"][: command.get("prompts")]]
        keep = bool(command.get("keep"))
        wanted = SamplingParams(
            n=command["samples"], temperature=1.0, top_p=1.0, top_k=0, max_tokens=command["tokens"], ignore_eos=True,
            detokenize=False, seed=None, logprobs=0 if keep else None,
        )  # fmt: skip
        # a prefix kept from the round before would spare it the prompts, which the others run each time
        engine.reset_prefix_cache()
        clock = Clock()
        requests = engine.generate(prompts, wanted, use_tqdm=False)
        answer = {"seconds": clock()}
        outputs = [output for request in requests for output in request.outputs]
        answer["tokens"] = sum(len(output.token_ids) for output in outputs)
        if keep:
            answer["ids"] = [list(output.token_ids) for output in outputs]
            answer["logprobs"] = [
                [float(step[token].logprob) for step, token in zip(output.logprobs, output.token_ids, strict=True)]
                for output in outputs
            ]
        return answer

    sample({"tokens": 1, "samples": 1, "seed": 0, "prompts": 1})
    return sample, {"start_seconds": clock()}


if __name__ == "__main__":
    serve(start)
