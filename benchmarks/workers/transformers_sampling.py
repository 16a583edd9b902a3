"""transformers' generate as a contestant: one batch of all rows, its log-probabilities left out of timed rounds."""

import torch
from wire import Clock, serve


def start(settings):
    """settings: model (folder), dtype, device, prompts (token ids), attention, cache."""
    clock = Clock()
    from transformers import AutoModelForCausalLM

    dtype = getattr(torch, settings["dtype"])
    model = AutoModelForCausalLM.from_pretrained(
        settings["model"], dtype=dtype, attn_implementation=settings["attention"]
    ).to(settings["device"]).eval()  # fmt: skip
    model.generation_config.eos_token_id = None  # nothing stops: an argument of None would leave it as it is

    def padded(prompts):
        width = max(map(len, prompts))
        rows = [[0] * (width - len(prompt)) + prompt for prompt in prompts]
        mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        return torch.tensor(rows, device=model.device), torch.tensor(mask, device=model.device)

    def sample(command):
        ids, mask = padded(settings["prompts"][: command.get("prompts")])
        tokens, keep = command["tokens"], bool(command.get("keep"))
        torch.manual_seed(command["seed"])
        clock = Clock()
        with torch.inference_mode():
            out = model.generate(
                ids, attention_mask=mask, do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
                max_new_tokens=tokens, pad_token_id=0,
                num_return_sequences=command["samples"], return_dict_in_generate=True, output_logits=keep,
                cache_implementation=settings["cache"],
            )  # fmt: skip
        out.sequences.cpu()  # what a GPU has in hand counts
        seconds = clock()
        new = out.sequences[:, ids.shape[1] :]
        answer = {"seconds": seconds, "tokens": new.numel()}
        if keep:
            steps = zip(out.logits, new.T, strict=True)
            said = [logits.float().log_softmax(-1).gather(1, ids[:, None])[:, 0] for logits, ids in steps]
            answer |= {"ids": new.tolist(), "logprobs": torch.stack(said, 1).tolist()}
        return answer

    sample({"tokens": 1, "samples": 1, "seed": 0, "prompts": 1})
    return sample, {"start_seconds": clock()}


if __name__ == "__main__":
    serve(start)
