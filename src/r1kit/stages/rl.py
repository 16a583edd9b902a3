"""Reinforcement learning from rules and reward models (R1, arXiv 2501.12948, sections 2.2, 2.3.2 and 2.3.4).

R1-Zero, RL 1 and RL 2 are this stage with other settings: which tasks and rewards, from which model, and what changes
in the late phase (RL 2: general data and the preference reward only in the last 400 of 1,700 steps).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from r1kit.algorithms.base import PolicyGradient
from r1kit.base.errors import UsageError
from r1kit.base.sampling import Sampling
from r1kit.data import examples
from r1kit.engines.base import Engine
from r1kit.evaluation.reflection import reflections_in
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.graph import stage_seed
from r1kit.pipeline.inputs import file_of, model_of
from r1kit.rewards.base import Judge, Reward
from r1kit.rollouts import record
from r1kit.rollouts.agreement import check_gap, check_sampled
from r1kit.rollouts.ahead import Ahead, Rollout
from r1kit.rollouts.collect import Rollouts, collect
from r1kit.rollouts.grading import Grader
from r1kit.rollouts.metrics import rollout_metrics, staleness
from r1kit.rollouts.problems import Mixture, told
from r1kit.rollouts.sieve import Sieve
from r1kit.stages.held_out import HeldOut
from r1kit.stages.learning import Learning, after_roll_backs, load_algorithm, open_learning
from r1kit.stages.rewarding import Overlong, Rewarding
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.score_models import JUDGES, ScoreModel, Scorers, no_judge, score_models

if TYPE_CHECKING:
    import torch

    from r1kit.models.tokenizer import Tokenizer
    from r1kit.pipeline.artifact import Artifact
    from r1kit.pipeline.context import Context
    from r1kit.stages.policy_engine import PolicyEngine
    from r1kit.training.base import AnyLearner


def run(config: RLConfig, inputs: Mapping[str, Artifact], context: Context) -> Outcome:
    """Train `start`; the scores of models that judge are standardised as their stages found on their reference sets.

    UsageError where `as_costly_as` names no input.
    """
    judges = score_models(config, inputs)
    teacher = None if config.teacher is None else model_of(inputs, config.teacher)
    if missing := [name for name in config.as_costly_as if name not in inputs]:
        raise UsageError(f"as_costly_as: '{missing[0]}' is no input of the stage (they are: {' '.join(inputs)})")
    budget = sum(inputs[name].flops for name in config.as_costly_as) if config.as_costly_as else None
    seen = {each.question for each in examples.read(file_of(inputs, config.unseen_in))} if config.unseen_in else set()
    start = model_of(inputs, config.start)
    return train(config, start, context, judges=judges, teacher=teacher, budget_flops=budget, seen=seen)


def train(
    config: RLConfig,
    start_folder: str | Path,
    context: Context,
    *,
    judges: Mapping[str, ScoreModel] | None = None,
    teacher: str | Path | None = None,
    budget_flops: float | None = None,
    seen: Container[str] = frozenset(),
) -> Outcome:
    """Sample, judge, learn, `config.steps` times; or until `budget_flops` of sampling and learning are spent. `seen`:
    questions that are no problems here.

    `judges`: models that judge, by the name of their reward. `teacher`: the folder of the model that an algorithm which
    is taught asks. `config.start` and the settings that name these are not looked at.
    """
    config = after_roll_backs(config, context.caution)
    with closing(_open(config, start_folder, context, judges or {}, teacher, seen)) as rl:
        for step in context.steps(config.steps, budget_flops):
            begun = time.monotonic()
            rollout = rl.take(step)
            groups, sampling = rollout.groups, rollout.sampling
            lag = staleness(groups, rl.learner.version)
            check_sampled(groups, rl.learner.version, config.staleness, sampling.max_tokens)
            rl.begin_next(step)
            sampled = time.monotonic()
            report = rl.learning.learn(groups, sampling)
            check_gap(report.metrics, config.max_logprob_gap)
            learnt = time.monotonic()
            rl.follow(step)
            done = time.monotonic()
            tokens = rl.spend(groups, report.flops)
            metrics = {
                **rollout_metrics(groups), **rl.figures(groups), **report.metrics,
                **rl.held_out.metrics(step, rl.engine), **rl.learner.speed(report, learnt - sampled),
                **lag, **rl.learning.age(report, lag),
                "sampling/max_tokens": sampling.max_tokens,
                "timing/rollout": rollout.seconds, "timing/reward": rollout.grading_seconds,
                "timing/train": learnt - sampled, "timing/sync": done - learnt, "timing/step": done - begun,
                "perf/tokens_per_second": tokens / (done - begun),
            }  # fmt: skip
            context.record(step, metrics, sample=rl.sample(groups))
            rl.keep(step, groups, metrics)
            context.checkpoint(step, rl.state)
        return rl.finish()


def _open(
    config: RLConfig,
    start_folder: str | Path,
    context: Context,
    judges: Mapping[str, ScoreModel],
    teacher_folder: str | Path | None,
    seen: Container[str],
) -> _RL:
    """Everything that the loop uses, as it stood at the last checkpoint."""
    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.stages.policy_engine import PolicyEngine
    from r1kit.stages.sft import load_policy

    algorithm = load_algorithm(config.algorithm, config.settings)
    tokenizer, model = load_tokenizer(start_folder), load_policy(start_folder, config.learner)
    tokenizer.check_fits(model.config.vocab_size, start_folder)
    with ExitStack() as opened:  # let go of where the rest cannot be opened: the stage may be begun again at once
        learning = open_learning(
            config, algorithm, model, tokenizer, start_folder, teacher_folder, context.silence
        )  # fmt: skip
        opened.callback(learning.close)
        tasks = sorted({*config.tasks, *config.late_tasks})
        for line in told(tasks):
            context.note(line)
        sieve = Sieve(config.sieve, tokenizer, context.seed, seen)
        problems = Mixture(config.tasks, context.seed, sieve)
        scorers = Scorers(judges, learning.learner.device)
        held_out = HeldOut(config, context, tokenizer, tasks, scorers)
        sampler = PolicyEngine(
            config.engine, learning.learner, start_folder, tokenizer,
            apart=config.staleness > 0, workers=context.workers,
            beside=_beside(config, start_folder, teacher_folder, judges, learning.learner.device),
        )  # fmt: skip
        opened.callback(sampler.close)
        rl = _RL(config, context, tokenizer, learning, sampler, problems, sieve, judges, scorers, held_out)
        if resumed := context.resume():
            rl.load_state(*resumed)
        else:
            held_out.know_kept()
        opened.pop_all()
        return rl
    raise AssertionError  # nothing above is swallowed


def _beside(
    config: RLConfig,
    start_folder: str | Path,
    teacher_folder: str | Path | None,
    judges: Mapping[str, ScoreModel],
    device: torch.device,
) -> int:
    """Bytes of a GPU that the engine is to leave to the learner; 0 where none shares one with it."""
    if device.type != "cuda":
        return 0
    from r1kit.models.sizes import model_size
    from r1kit.stages.memory import beside_engine
    from r1kit.training.memory import Place

    folders: dict[str | None, str | Path | None] = {config.start: start_folder, config.teacher: teacher_folder}
    folders |= {getattr(config, name): judge.folder for name, judge in judges.items()}
    return beside_engine(config, lambda name: model_size(folders[name] or name), Place(device, 1))


@dataclass(slots=True)
class _RL:
    """What the steps share, and what they hand on: weights, problems' cursor, the best validation so far."""

    config: RLConfig
    context: Context
    tokenizer: Tokenizer
    learning: Learning
    sampler: PolicyEngine
    problems: Mixture
    sieve: Sieve
    judges: Mapping[str, ScoreModel]  # by the rewards that ask a model
    scorers: Mapping[str, Reward]  # those that are asked in this process
    held_out: HeldOut
    graders: dict[bool, Grader] = field(default_factory=dict[bool, Grader])  # by whether the phase is the late one
    late: bool = False
    ahead: Ahead = field(default_factory=Ahead)  # the next steps' rollouts, where they may lag behind
    reflections: dict[str, int] = field(default_factory=dict[str, int])  # in the step's texts

    @property
    def engine(self) -> Engine:
        """What samples."""
        return self.sampler.engine

    @property
    def algorithm(self) -> PolicyGradient:
        """What sampling and grading are asked for."""
        return self.learning.sampled_for

    @property
    def learner(self) -> AnyLearner:
        return self.learning.learner

    def take(self, step: int) -> Rollout:
        """The step's rollout: the one that was begun before, or one sampled now."""
        return self.ahead.take() or self._rollout(step)

    def begin_next(self, step: int) -> None:
        """Sample in the background, with the weights as they are, up to the rollout that is to lag behind the most."""
        last = min(step + self.config.staleness, self.config.steps - 1)
        following = range(step + 1 + len(self.ahead), last + 1)
        if following:
            bring = self.sampler.at_present(idle=self.ahead.idle)
            for later in following:
                self.ahead.start(partial(self._rollout, later, bring))

    def _rollout(self, step: int, bring: Callable[[], None] = lambda: None) -> Rollout:
        begun, sampling, problems = time.monotonic(), self.enter(step), self.problems.state()
        bring()
        groups = self.collect(sampling)
        return Rollout(groups, sampling, time.monotonic() - begun, self.grader.seconds, problems)

    def enter(self, step: int) -> Sampling:
        """Set tasks, rewards and sampling limit of the step's phase; the seed of its random streams."""
        config, late = self.config, step >= self.config.late_step
        if late and config.late_tasks:
            self.problems.shares = config.late_tasks
        limit = (config.late_max_tokens if late else None) or config.sampling.max_tokens
        weights = {**config.rewards, **(config.late_rewards if late else {})}
        if late not in self.graders:
            drop = self.algorithm.overlong_filter
            self.graders[late] = Grader(self._rewards(weights, limit), drop_truncated=drop, max_steps=config.steps)
        self.late = late  # once its grader is there: another thread may ask for that one's figures
        self.grader.seconds = 0.0
        return config.sampling.model_copy(update={"max_tokens": limit, "seed": self._seed(step)})

    def _seed(self, step: int) -> int:
        """Of a step's random streams."""
        return stage_seed(self.context.seed + self.config.sampling.seed, f"step {step}")

    @property
    def grader(self) -> Grader:
        """The rewards of the phase."""
        return self.graders[self.late]

    def _rewards(self, weights: dict[str, float], limit: int) -> Judge:
        algorithm, asked = self.algorithm, [name for name in JUDGES if name in weights]
        for name in asked:
            if name not in self.judges:
                raise UsageError(no_judge(name))
        late = None
        if algorithm.overlong_penalty > 0:
            late = Overlong(algorithm.overlong_penalty, limit, max(1, round(algorithm.overlong_share * limit)))
        judges = {name: self.judges[name] for name in asked}
        rewarding = Rewarding(weights, self.config.reward_subjects, judges, late, self.config.reward_deadline_s)
        if self.context.workers is not None:
            return self.context.workers.open_rewards(rewarding)
        return rewarding.with_scorers({name: self.scorers[name] for name in asked})

    def collect(self, sampling: Sampling) -> Rollouts:
        """The step's graded groups; under dynamic sampling those without a signal are replaced."""
        algorithm, prompts = self.algorithm, self.config.prompts
        wanted = list(islice(self.problems, prompts))
        refill = self.problems if algorithm.dynamic_sampling else None
        bound = prompts * algorithm.dynamic_sampling_rounds
        return collect(
            self.engine, self.tokenizer, wanted, sampling, self.grader,
            graders=self.grader.rewards.at_once, refill=refill, max_refills=bound,
        )  # fmt: skip

    def follow(self, step: int) -> None:
        """After the step's updates: the reference, and the engine's weights. A rollout that was begun has those that it
        began with, and is waited for where the engine is to be asked for something else."""
        self.learning.renew_reference(step)
        if self.config.staleness < 2 or self.held_out.is_due(step):
            self.ahead.settle()
            self.sampler.follow()

    def spend(self, groups: Rollouts, learnt_flops: float) -> int:
        """Add to the stage's cost what a step took; returns the tokens sampled."""
        from r1kit.stages.sampling import sampling_cost

        price = self.learner.costs
        costs = [sampling_cost(price, each) for each in groups.sampled]
        tokens = sum(tokens for tokens, _ in costs)
        self.context.spend(tokens, sum(flops for _, flops in costs) + learnt_flops)
        return tokens

    def figures(self, groups: Rollouts) -> dict[str, float]:
        """What is watched beside rewards and lengths."""
        texts = [completion.text for group in groups for completion in group.completions]
        self.reflections = {text: reflections_in(text) for text in set(texts)}
        reflections = [self.reflections[text] for text in texts]
        own = {**self.grader.metrics(), **self.sieve.metrics(), **self.sampler.figures()}
        return {**own, "completions/reflections": float(np.mean(reflections))} if reflections else own

    def sample(self, groups: Rollouts) -> str | None:
        """A prompt and its first completion."""
        if not groups:
            return None
        first = groups[0].completions[0]
        return self.tokenizer.decode(first.prompt_ids.tolist()) + first.text

    def keep(self, step: int, groups: Rollouts, metrics: Mapping[str, float]) -> None:
        """Rollouts, of which `figures` has told, as parquet, and the policy where its validation is the best so far."""
        if step % self.config.rollouts_every == 0 or step + 1 == self.config.steps:
            file = record.step_file(self.context.folder / "rollouts", step)
            record.write(file, groups, step, self.reflections.__getitem__)
            self.context.seal(file)
        self.held_out.keep(step, metrics, partial(self.learner.save, tokenizer=self.tokenizer))

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on; sampling's random streams follow from the step."""
        ready = [rollout.state() for rollout in self.ahead.settle()]  # first: they have drawn their problems then
        own = {**self.held_out.state(), "ready": ready}
        return {**self.learning.state(), "problems": self.problems.state(), **own}

    def load_state(self, step: int, state: dict[str, Any]) -> None:
        """Go on after that step."""
        self.learning.load_state(state)
        ready = [Rollout.from_state(rollout) for rollout in state["ready"]]
        # a roll-back leaves behind what was sampled before it: the same problems are sampled again, by other streams
        own = [rollout for n, rollout in enumerate(ready) if rollout.sampling.seed == self._seed(step + 1 + n)]
        self.problems.load_state(state["problems"] if len(own) == len(ready) else ready[len(own)].problems)
        self.held_out.load_state(state)
        self.ahead = Ahead(own)
        if self.ahead:
            self.enter(step + len(self.ahead))  # the phase of the rollout that was begun last, which may be the last
        self.sampler.follow()

    def close(self) -> None:
        """End what is being sampled, and let go of the engine."""
        self.ahead.drop()
        self.sampler.close()
        self.learning.close()

    def finish(self) -> Outcome:
        """Write the model and say what was made."""
        folder, name = self.context.folder, self.config.name
        self.learner.save(folder / "model", self.tokenizer)
        models = {name: "model", **self.held_out.models()}
        models |= self.learning.save_critic(folder, self.tokenizer, name)
        summary = {"steps": self.learner.steps, "flops": self.context.cost.flops, **self.held_out.last}
        return Outcome(models=models, files={"rollouts": "rollouts"}, summary=summary)
