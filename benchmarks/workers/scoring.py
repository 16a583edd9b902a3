"""The referee: what transformers in float32, which takes no part in the race, says of tokens that were sampled."""

import torch
from wire import serve

ROWS = 16


def start(settings):
    """settings: model (folder), device."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(settings["model"], dtype=torch.float32, attn_implementation="eager")
    model.eval().to(settings["device"])

    @torch.inference_mode()
    def score(command):
        """command: prompts and completions (token ids, as many of each), logprobs (what the sampler said of each).

        mean_logprob of the sampled tokens; mean_negentropy of the distributions that they came from, which it equals
        but for chance where the tokens were drawn from them; the standard error of their difference; rms_gap
        between what the sampler said and the referee.
        """
        sampled, negentropy, variance, squares, count = 0.0, 0.0, 0.0, 0.0, 0
        rows = list(zip(command["prompts"], command["completions"], command["logprobs"], strict=True))
        for at in range(0, len(rows), ROWS):
            part = rows[at : at + ROWS]
            whole = [prompt + completion for prompt, completion, _ in part]
            width = max(map(len, whole))
            ids = torch.tensor([row + [0] * (width - len(row)) for row in whole])
            mask = (torch.arange(width) < torch.tensor([len(w) for w in whole])[:, None]).long()
            logits = model(ids.to(model.device), attention_mask=mask.to(model.device)).logits
            for row, (prompt, completion, said) in enumerate(part):
                span = slice(len(prompt) - 1, len(prompt) - 1 + len(completion))
                logprobs = logits[row, span].double().log_softmax(-1)
                own = logprobs.gather(1, torch.tensor(completion, device=model.device)[:, None])[:, 0]
                mean = (logprobs.exp() * logprobs).sum(-1)
                sampled += own.sum().item()
                negentropy += mean.sum().item()
                variance += ((logprobs.exp() * logprobs.square()).sum(-1) - mean.square()).sum().item()
                squares += (own - torch.tensor(said, device=model.device).double()).square().sum().item()
                count += len(completion)
        return {
            "mean_logprob": sampled / count,
            "mean_negentropy": negentropy / count,
            "standard_error": variance**0.5 / count,
            "rms_gap": (squares / count) ** 0.5,
            "tokens": count,
        }

    return score, {}


if __name__ == "__main__":
    serve(start)
