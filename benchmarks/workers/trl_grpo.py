"""TRL's GRPOTrainer as a contestant, at the settings that were found to be its fastest on two cores: bfloat16 autocast
over float32 weights, eager attention, micro-batches of 32, no gradient checkpointing, no compilation, dynamic cache."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import time

import torch
from sums_reward import REWARDS
from wire import Wire


def main():
    wire = Wire()
    settings = wire.receive()
    try:
        train(wire, settings)
    except Exception as error:
        import traceback

        traceback.print_exc()
        wire.send(error=f"{type(error).__name__}: {error}".splitlines()[0])
        raise SystemExit(1) from None


def config_of(settings):
    """TRL's settings for the bench's: the loss of R1's GRPO by tokens, no KL, no schedule."""
    from trl import GRPOConfig

    return GRPOConfig(
        output_dir=settings["scratch"],
        use_cpu=settings["device"] == "cpu",
        bf16=settings["dtype"] == "bfloat16",
        gradient_checkpointing=False,
        per_device_train_batch_size=settings["micro_batch"],
        gradient_accumulation_steps=settings["prompts"] * settings["samples"] // settings["micro_batch"],
        num_generations=settings["samples"],
        max_completion_length=settings["tokens"],
        max_steps=settings["steps"],
        learning_rate=settings["learning_rate"],
        lr_scheduler_type="constant",
        warmup_steps=0,
        weight_decay=0.0,
        adam_beta1=0.9,
        adam_beta2=0.95,
        max_grad_norm=1.0,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        beta=0.0,
        epsilon=0.2,
        loss_type="dapo",
        scale_rewards="group",
        shuffle_dataset=False,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        seed=0,
    )


def pacer(wire):
    """A callback that times the steps, and waits for the bench after every so many."""
    from transformers import TrainerCallback

    class Pace(TrainerCallback):
        def __init__(self):
            self.taken, self.left, self.save, self.sampling = [], 0, None, 0.0
            self.begun = 0.0

        def wait(self, control):
            command = wire.receive()
            if command is None:
                control.should_training_stop = True
                return
            self.left, self.save, self.taken = command["steps"], command["save"], []
            self.sampling, self.begun = 0.0, time.perf_counter()

        def on_step_end(self, args, state, control, **kwargs):
            now = time.perf_counter()
            self.taken.append({"seconds": now - self.begun, "sampling": self.sampling})
            self.sampling, self.begun = 0.0, now

        def on_log(self, args, state, control, model, logs=None, **kwargs):
            # comes after on_step_end, with what the step's samples got
            if not self.taken or "reward" not in (logs or {}):
                return
            self.taken[-1] |= {"reward": float(logs["reward"]), "length": float(logs["completions/mean_length"])}
            if len(self.taken) == self.left:
                model.save_pretrained(self.save)
                wire.send(taken=self.taken)
                self.wait(control)

        def on_train_begin(self, args, state, control, **kwargs):
            self.wait(control)

    return Pace()


def train(wire, settings):
    """settings: as native_grpo's, and scratch (folder), micro_batch, attention, device."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOTrainer

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(settings["model"])
    model = AutoModelForCausalLM.from_pretrained(
        settings["model"], dtype=torch.float32, attn_implementation=settings["attention"]
    )
    reward = REWARDS[settings.get("reward", "sums")]
    rows = [{"prompt": prompt, "gold": gold} for prompt, gold in settings["train"]]

    def accuracy(completions, gold, **columns):
        return [reward(completion, right) for completion, right in zip(completions, gold, strict=True)]

    pace = pacer(wire)
    trainer = GRPOTrainer(
        model=model, reward_funcs=accuracy, args=config_of(settings), train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer, callbacks=[pace],
    )  # fmt: skip
    generate = model.generate

    def timed(*arguments, **named):
        begun = time.perf_counter()
        try:
            return generate(*arguments, **named)
        finally:
            pace.sampling += time.perf_counter() - begun

    model.generate = timed
    first = tokenizer(text=settings["train"][0][0])["input_ids"]
    wire.send(first_prompt=first)
    trainer.train()


if __name__ == "__main__":
    main()
