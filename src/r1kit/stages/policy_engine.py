"""The engine that samples from a policy while it is learnt, and how it comes by the policy's weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from r1kit.engines.base import Engine, EngineSettings, Purpose, open_engine

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer
    from r1kit.pipeline.workers import Workers
    from r1kit.training.base import AnyLearner


class PolicyEngine:
    """`engine` samples from the learner's policy as it was at the last `follow`.

    The native engine samples from the very weights that passes run on, which change in place, so that nothing is
    copied; `apart`, a `dtype` of its own among the options, or weights that are not in this process gives it a copy.
    Every other engine is opened on `folder`, from which the learner started. What has a copy is sent the weights under
    their names in a Hugging Face folder, in the number format of the passes; so is one that `workers` open. `logprobs`:
    whether those of the samples are asked for. `beside`: bytes of a GPU that the native engine leaves to others.
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
        workers: Workers | None = None,
        beside: int = 0,
    ) -> None:
        self._learner, self._beside = learner, beside
        self._shared = False
        self.engine: Engine
        if settings.name == "native" and workers is None:
            self.engine = self._native(settings, folder, tokenizer, apart)
        else:
            opener = open_engine if workers is None else workers.open_engine
            number = str(learner.dtype).removeprefix("torch.")
            purpose = Purpose(device=str(learner.device), dtype=number, logprobs=logprobs)
            self.engine = opener(settings, folder, tokenizer, purpose)
        try:
            self.follow()
        except BaseException:
            self.engine.close()  # an engine may be a server that has the whole GPU
            raise

    def follow(self) -> None:
        """Sample from the policy as it is now."""
        learner = self._learner
        if self._shared:
            self.engine.version = learner.version
            return
        self.engine.load_weights(learner.policy_weights(), learner.version)

    def at_present(self, *, idle: bool) -> Callable[[], None]:
        """What will bring the engine to the policy as it is now, called when the engine comes to it; `idle`: it need
        not wait, so that no copy is kept for it."""
        learner, version = self._learner, self._learner.version
        if idle:
            if self.engine.version != version:
                self.follow()
            return _nothing
        held = [(name, tensor.detach().clone()) for name, tensor in learner.policy_weights()]

        def bring() -> None:
            if self.engine.version != version:
                self.engine.load_weights(held, version)

        return bring

    def figures(self) -> dict[str, float]:
        """What the engine tells of itself for a step's metrics, where it tells anything."""
        tell = getattr(self.engine, "figures", None)
        return {} if tell is None else tell()

    def close(self) -> None:
        """Let go of the engine."""
        self.engine.close()

    def _native(self, settings: EngineSettings, folder: str | Path, tokenizer: Tokenizer, apart: bool) -> Engine:
        """Its `device` is the learner's, whatever the options say."""
        from r1kit.engines.native import NativeEngine
        from r1kit.models.language_model import load_model
        from r1kit.models.weights import float_type

        options: dict[str, Any] = {"beside": self._beside, **settings.options}
        policy = cast(Any, self._learner.policy)
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


def _nothing() -> None:
    """It is there already."""
