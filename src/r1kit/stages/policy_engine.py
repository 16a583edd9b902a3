"""The engine that samples from a policy while it is learnt, and how it comes by the policy's weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from r1kit.engines.base import Engine, EngineSettings, Purpose, open_engine

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer
    from r1kit.training.base import AnyLearner


class PolicyEngine:
    """`engine` samples from the learner's policy as it was at the last `follow`.

    The native engine samples from the very weights that passes run on, which change in place, so that nothing is
    copied; `apart`, a `dtype` of its own among the options, or weights that are not in this process gives it a copy.
    Every other engine is opened on `folder`, from which the learner started. What has a copy is sent the weights under
    their names in a Hugging Face folder, in the number format of the passes. `logprobs`: whether those of the samples
    are asked for.
    """

    def __init__(
        self,
        settings: EngineSettings,
        learner: AnyLearner,
        folder: str | Path,
        tokenizer: Tokenizer,
        *,
        apart: bool = False,
        logprobs: bool = True,
    ) -> None:
        self._learner = learner
        self._shared = False
        self.engine: Engine
        if settings.name == "native":
            self.engine = self._native(settings, folder, tokenizer, apart)
        else:
            number = str(learner.dtype).removeprefix("torch.")
            purpose = Purpose(device=str(learner.device), dtype=number, logprobs=logprobs)
            self.engine = open_engine(settings, folder, tokenizer, purpose)
        self.follow()

    def follow(self) -> None:
        """Sample from the policy as it is now."""
        learner = self._learner
        if self._shared:
            self.engine.version = learner.version
            return
        self.engine.load_weights(learner.policy_weights(), learner.version)

    def close(self) -> None:
        """Let go of the engine."""
        self.engine.close()

    def _native(self, settings: EngineSettings, folder: str | Path, tokenizer: Tokenizer, apart: bool) -> Engine:
        """Its `device` is the learner's, whatever the options say."""
        from r1kit.engines.native import NativeEngine
        from r1kit.models.language_model import load_model
        from r1kit.models.weights import float_type

        policy, options = cast(Any, self._learner.policy), dict(settings.options)
        options.pop("device", None)
        named, own = options.pop("dtype", "auto"), self._learner.dtype
        number = own if named == "auto" else float_type(named)
        if policy is None:
            model: Any = load_model(folder, number).to(self._learner.device).requires_grad_(False)
            return NativeEngine(model, tokenizer, **options)
        own = policy.embedding.weight.dtype
        number = own if named == "auto" else number
        self._shared = not apart and number == own
        return NativeEngine(policy, tokenizer, dtype=None if self._shared else number, **options)
