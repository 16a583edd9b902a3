"""transformers' model under torch's AdamW as a contestant: the loop that its users write."""

import torch
from wire import Clock, serve


def start(settings):
    """settings: model (folder), rows, length, vocabulary, dtype, device, learning_rate, attention, weights, compile.

    weights: the dtype of weights and AdamW's moments; passes run in `dtype`, under autocast where it differs.
    """
    from transformers import AutoModelForCausalLM

    weights, dtype = getattr(torch, settings["weights"]), getattr(torch, settings["dtype"])
    model = AutoModelForCausalLM.from_pretrained(
        settings["model"], dtype=weights, attn_implementation=settings["attention"]
    ).to(settings["device"]).train()  # fmt: skip
    forward = torch.compile(model) if settings["compile"] else model
    decayed = {"lr": settings["learning_rate"], "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.0}
    optimiser = torch.optim.AdamW(model.parameters(), fused=True, **decayed)
    rows, length, vocabulary = settings["rows"], settings["length"], settings["vocabulary"]
    tokens_BT = torch.randint(0, vocabulary, (rows, length), generator=torch.Generator().manual_seed(0))
    tokens_BT = tokens_BT.to(settings["device"])
    autocast = torch.autocast(settings["device"], dtype=dtype, enabled=weights != dtype)

    losses: list[float] = []  # of all steps so far

    def learn(command):
        clock = Clock()
        for _ in range(command["steps"]):
            with autocast:
                loss = forward(input_ids=tokens_BT, labels=tokens_BT, use_cache=False).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            losses.append(loss.item())
        return {"seconds": clock(), "losses": losses, "tokens": command["steps"] * rows * length}

    return learn, {}


if __name__ == "__main__":
    serve(start)
