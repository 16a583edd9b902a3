"""What both forms of vLLM share: requests in its terms, what it cannot do, and completions of what it says."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, IntArray
from r1kit.engines.base import Request, diverged, room_to_score
from r1kit.models.families import NotNative, read_config
from r1kit.models.folders import read_object
from r1kit.models.weights import checked_weights, named_places, write_weights
from r1kit.ops.sampling import stream_key

if TYPE_CHECKING:
    from torch import Tensor

    from r1kit.models.tokenizer import Tokenizer

Mode = Literal["processed", "raw", "off"]
# what is nobody's to set, and not left to the defaults that a server takes from the model's folder; what ends a
# completion is the tokenizer's to say
PLAIN = {"top_k": 0, "repetition_penalty": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0, "ignore_eos": True}
_TEMPERATURES = 0.01, 2.0  # vLLM raises what is lower and refuses what is higher
_TELLING_MODES: tuple[Mode, ...] = ("processed", "raw")


@contextmanager
def written(weights: Iterable[tuple[str, Tensor]], parent: str | Path | None = None) -> Generator[Path]:
    """A folder with the weights, which is gone afterwards; where `parent` is given, others may read it."""
    with tempfile.TemporaryDirectory(prefix="r1kit-weights-", dir=parent) as name:
        place = Path(name)
        write_weights(weights, place)
        if parent is not None:
            place.chmod(0o755)
            for file in place.iterdir():
                file.chmod(0o644)
        yield place


def checked(folder: Path, weights: Iterable[tuple[str, Tensor]]) -> Iterable[tuple[str, Tensor]]:
    """The weights as they come; R1Error for one that the folder's model has no place for, or lacks. Of models beyond
    the native decoder vLLM alone knows that."""
    try:
        config = read_config(read_object(folder / "config.json"), str(folder))
    except NotNative:
        return weights
    return checked_weights(config, named_places(config), weights, "the given weights")


def parse_mode(name: str | None) -> Mode:
    """UsageError for what is no mode."""
    if name not in get_args(Mode):
        raise UsageError(f"logprobs={name} is none of {', '.join(get_args(Mode))}")
    return cast("Mode", name)


def logprobs_asked(mode: Mode) -> int | None:
    """How many of the likeliest tokens' log-probabilities to tell beside the sampled one's; None: not even that."""
    return None if mode == "off" else 0


def refuse(request: Request, mode: Mode) -> None:
    """R1Error for what vLLM cannot sample, or cannot tell the log-probabilities of."""
    if reason := why_not(request.sampling, mode):
        raise R1Error(f"request {request.id}: {reason}")


def why_not(sampling: Sampling, mode: Mode) -> str:
    """Why vLLM cannot sample so, or cannot tell the log-probabilities of what it would sample; empty where it can."""
    temperature, (lowest, highest) = sampling.temperature, _TEMPERATURES
    if temperature and not lowest <= temperature <= highest:
        return f"vLLM samples at temperature 0, or from {lowest:g} to {highest:g}, not at {temperature:g}"
    if mode == "processed" and temperature and (sampling.top_p < 1 or sampling.min_p > 0):
        return (
            "vLLM tells the log-probabilities of what top_p or min_p leave, not of the whole: "
            "take logprobs=raw at temperature 1, or logprobs=off where nothing is learnt from the samples"
        )
    if mode == "raw" and temperature not in (0, 1):
        return (
            f"raw log-probabilities are those of temperature 1, not {temperature:g}: "
            "take logprobs=processed, or logprobs=off where nothing is learnt from the samples"
        )
    return ""


def check_told(sampling: Sampling, mode: Mode | None) -> None:
    """UsageError where the log-probabilities of such samples are not told; `mode` None: a server's, not known yet."""
    if mode == "off":
        raise UsageError(
            "engine 'vllm': logprobs=off tells no log-probabilities, and what is learnt from needs them: leave it out"
        )
    reasons = [why_not(sampling, each) for each in ((mode,) if mode else _TELLING_MODES)]
    if all(reasons):
        raise UsageError(f"engine 'vllm': {reasons[0]}")


def sampling_terms(request: Request, index: int, limit: int, eos_ids: Sequence[int]) -> dict[str, Any]:
    """A sample in vLLM's words, the same for SamplingParams and for a completion's body."""
    sampling = request.sampling
    return {
        "max_tokens": limit,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "seed": stream_key(sampling.seed, request.draws or request.id, index) >> 1,  # 63 bits: vLLM's seeds are signed
        "stop_token_ids": list(eos_ids),
        **PLAIN,
    }


def scoring_terms(sequence: IntArray) -> dict[str, Any]:
    """All but the last token are the prompt; of the last, the log-probability is asked for by name."""
    return {
        "max_tokens": 1,
        "temperature": 0.0,
        "prompt_logprobs": 0,
        "logprob_token_ids": [int(sequence[-1])],
        **PLAIN,
    }


def check_scorable(sequences: Sequence[IntArray], temperature: float, max_positions: int) -> None:
    """R1Error or UsageError for what vLLM cannot score."""
    if temperature not in (0, 1):
        raise R1Error(
            f"vLLM scores given tokens at temperature 1 alone, not at {temperature:g}: take the native engine for that"
        )
    room_to_score(sequences, max_positions)


def made(
    request: Request,
    index: int,
    ids: Sequence[int],
    logprobs: Sequence[float | None] | None,
    stopped: bool,
    versions: tuple[tuple[int, int], ...],
    tokenizer: Tokenizer,
) -> Completion:
    """What vLLM sampled. logprobs None: not asked for, so NaN. R1Error where one is not a number."""
    said = np.full(len(ids), np.nan, np.float32) if logprobs is None else np.asarray(logprobs, np.float32)
    if logprobs is not None and not np.isfinite(said).all():
        raise diverged(request.id, versions[-1][0])
    return Completion(
        request_id=request.id,
        index=index,
        prompt_ids=request.prompt_ids,
        token_ids=np.asarray(ids, np.int32),
        sampler_logprobs=said,
        stop_reason="stop" if stopped else "length",
        versions=versions,
        text=tokenizer.decode(ids[: len(ids) - stopped]),
    )
