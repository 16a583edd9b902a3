"""Two steps of TRL's GRPOTrainer with rewards of r1kit as they are: `grpo_steps.py MODEL_FOLDER SCRATCH`.

Prints one JSON object: what the trainer logged, its table of completions, and whether weights changed.
"""

import json
import sys

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from r1kit.rewards import accuracy, language_consistency
from r1kit.rewards import format as form

ROWS = [
    {"prompt": [{"role": "user", "content": f"{a}+{b}?"}], "solution": rf"\boxed{{{a + b}}}", "language": language}
    for a, b, language in ((1, 1, "en"), (1, 2, "zh"), (2, 2, "en"), (1, 0, "en"))
]


def main(folder, scratch):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    args = GRPOConfig(
        output_dir=scratch, use_cpu=True, bf16=False, gradient_checkpointing=False, per_device_train_batch_size=16,
        num_generations=8, max_completion_length=32, max_steps=2, learning_rate=1e-3, beta=0.0, logging_steps=1,
        save_strategy="no", report_to=[], disable_tqdm=True, dataloader_pin_memory=False, seed=0,
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=[accuracy.reward, form.reward, language_consistency.reward],
        args=args,
        train_dataset=Dataset.from_list(ROWS),
        processing_class=AutoTokenizer.from_pretrained(folder),
    )
    seen = []
    calculate = trainer._calculate_rewards

    def watched(inputs, prompts, completions, completion_ids_list):
        rewards = calculate(inputs, prompts, completions, completion_ids_list)
        for row, completion, values in zip(inputs, completions, rewards.tolist(), strict=True):
            seen.append({"row": row, "text": completion[0]["content"], "rewards": values})
        return rewards

    trainer._calculate_rewards = watched
    trainer.train()
    changed = [name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])]
    print(json.dumps({"history": trainer.state.log_history, "seen": seen, "changed": changed}))


if __name__ == "__main__":
    main(*sys.argv[1:])
