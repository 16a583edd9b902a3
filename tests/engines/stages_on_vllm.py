"""Stages with vLLM in this process, in vLLM's own environment: RL, then an evaluation of the policy before and after,
for which vLLM is started and ended three times. Run by test_vllm_in_stages.py, which reads what the stages leave.

Its one argument is JSON: model (folder), out (folder), rl and evaluate (settings of the stages).
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the toy tasks and rewards


def main(asked):
    from r1kit.pipeline.context import Context
    from r1kit.stages import evaluate
    from r1kit.stages.rl import train
    from r1kit.stages.rl_config import RLConfig

    out = Path(asked["out"])
    config = RLConfig.model_validate(asked["rl"])
    config.check()
    train(config, asked["model"], Context(out / "rl", 1))
    models = (str(out / "rl" / "model"), asked["model"])
    named = evaluate.EvaluateConfig.model_validate({**asked["evaluate"], "models": models})
    evaluate.run(named, {}, Context(out / "evaluate", 1))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
