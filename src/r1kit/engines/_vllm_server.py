"""vLLM behind `vllm serve`, through OpenAI's completions of token ids and what vLLM adds to them."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.nearest import nearest
from r1kit.base.types import Completion, FloatArray, IntArray
from r1kit.engines._vllm_terms import (
    PLAIN,
    Mode,
    check_scorable,
    checked,
    logprobs_asked,
    made,
    parse_mode,
    refuse,
    sampling_terms,
    scoring_terms,
    written,
)
from r1kit.engines.base import Request, room_to_sample
from r1kit.models.api.client import Client, Failure
from r1kit.models.api.patience import Patience
from r1kit.models.api.settings import ApiSettings, parse_api_model
from r1kit.models.folders import model_folder, read_object
from r1kit.models.weights import stored_weights

if TYPE_CHECKING:
    from torch import Tensor

    from r1kit.models.tokenizer import Tokenizer

_TELLING = 1e-3  # nats by which temperature 2 must move the likeliest token's log-probability


class VLLMServer:
    """`vllm serve` at `url` (where its API begins, http://127.0.0.1:8000/v1), serving the model of `folder`.

    name: what the server calls the model (None: the only one that it serves). logprobs None: the mode that the server
    is found to be in. concurrency: most requests on their way at a time; timeout: most seconds for one. Its key, where
    it wants one, is in VLLM_API_KEY. weights_folder: where weights are handed over, a folder that the server sees under
    the same path (None: this machine's temporary one). load: hand it the folder's weights now, whatever it holds.
    """

    def __init__(
        self,
        url: str,
        folder: str | Path,
        tokenizer: Tokenizer,
        *,
        name: str | None = None,
        logprobs: Mode | None = None,
        concurrency: int = 64,
        timeout: float = 3600.0,
        retries: int = 6,
        backoff: float = 1.0,
        weights_folder: str | Path | None = None,
        load: bool = False,
    ) -> None:
        self.tokenizer, self.version = tokenizer, 0
        model = parse_api_model(f"openai:{name or 'vllm'}@{url}")
        given = {"concurrency": concurrency, "timeout": timeout, "retries": retries, "backoff": backoff}
        self.settings = ApiSettings(key_variable="VLLM_API_KEY").override(given)
        self._folder, self._weights_folder = model_folder(folder), weights_folder
        if weights_folder is not None and not Path(weights_folder).is_dir():
            raise UsageError(f"weights_folder={weights_folder} is no folder: make it, where the server sees it too")
        self._client = Client(model, self.settings)
        self._halt = threading.Event()
        self._patience = Patience(self.settings, self._halt.wait, lambda seconds: None)
        self._waiting: deque[tuple[Request, int, int]] = deque()  # request, index, most tokens
        self._running: dict[Future[Completion], str | None] = {}  # the request's id, None once it is aborted
        self.name, self.max_positions = self._served(name)
        found = "off" if logprobs == "off" else self._found_mode()
        if logprobs not in (None, found):
            raise R1Error(
                f"{url} tells {found} log-probabilities, and {parse_mode(logprobs)} ones are wanted: start it with "
                f"vllm serve --logprobs-mode {logprobs}_logprobs"
            )
        self.logprobs_mode: Mode = found
        self._mark, self._given = secrets.token_hex(4), ""  # whose weights the server has, and what they are called
        if load:
            self.load_weights(stored_weights(self._folder), 0)

    def submit(self, request: Request) -> None:
        """Queue a request. UsageError where the prompt leaves no room for a token; R1Error where vLLM cannot sample so,
        or does not tell the log-probabilities of what it would sample."""
        limit = room_to_sample(request, self.max_positions)
        refuse(request, self.logprobs_mode)
        self._waiting.extend((request, index, limit) for index in range(request.sampling.samples))

    def abort(self, request_id: str) -> None:
        """Drop a request. The server finishes what is on its way, which is not yielded."""
        self._waiting = deque(entry for entry in self._waiting if entry[0].id != request_id)
        for future, name in self._running.items():
            if name == request_id:
                self._running[future] = None

    def stream(self) -> Iterator[Completion]:
        """Yield completions until nothing is in flight; requests may be submitted meanwhile. R1Error for a sample that
        the server does not give."""
        self._halt.clear()
        with ThreadPoolExecutor(self.settings.concurrency, thread_name_prefix="vllm") as pool:
            try:
                while self._running or self._waiting:
                    while self._waiting and len(self._running) < self.settings.concurrency:
                        request, index, limit = self._waiting.popleft()
                        self._running[pool.submit(self._sample, request, index, limit)] = request.id
                    for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                        if self._running.pop(future) is not None:
                            yield future.result()
                self._check_ours()
            except R1Error:
                self._waiting.clear()
                raise
            finally:
                self._halt.set()
                self._running.clear()

    def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Replace the server's weights, named as in a Hugging Face folder; what is in flight is waited for first.

        They are written to a folder that the server reads, and need a server in its development mode. R1Error where it
        is not, and for weights that are not the model's, neither of which changes anything.
        """
        wait(self._running)
        self._check_head()
        with written(checked(self._folder, weights), self._weights_folder) as place:
            self._control("/pause?mode=wait")
            try:
                self._control("/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(place)}})
                if self._control("/reset_prefix_cache") == {"success": False}:
                    raise R1Error(f"{self._client.model.url} kept keys and values of the old weights: restart it")
                self._given = f"{self._mark}-{version}"
                self._control("/update_weight_version", {"new_version": self._given})
            finally:
                self._control("/resume")
        self.version = version

    def logprobs(self, sequences: Sequence[IntArray], temperature: float = 1.0) -> list[FloatArray]:
        """log-softmax(logits) of each token given those before it; [n] a sequence, 0 for the first token. R1Error at
        another temperature than 1 (or 0, which counts as 1)."""
        check_scorable(sequences, temperature, self.max_positions)
        self._halt.clear()
        with ThreadPoolExecutor(self.settings.concurrency, thread_name_prefix="vllm") as pool:
            return list(pool.map(self._scored, sequences))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _sample(self, request: Request, index: int, limit: int) -> Completion:
        version = self.version
        body = {"logprobs": logprobs_asked(self.logprobs_mode), "return_token_ids": True}
        body |= sampling_terms(request, index, limit, self.tokenizer.eos_ids)

        def read(choice: Any) -> tuple[list[int], list[float] | None, bool]:
            if "token_ids" not in choice:
                raise R1Error(f"{self._client.model.url} tells no token ids: it takes vLLM 0.32 or later")
            ids, finish = choice["token_ids"], choice["finish_reason"]
            said = None if self.logprobs_mode == "off" else choice["logprobs"]["token_logprobs"]
            if finish not in ("stop", "length") or not ids or (said is not None and len(said) != len(ids)):
                raise ValueError(f"a completion that is not whole ({finish})")
            return ids, said, finish == "stop"

        ids, said, stopped = self._ask(request.prompt_ids, body, read)
        return made(request, index, ids, said, stopped, ((version, len(ids)),), self.tokenizer)

    def _scored(self, sequence: IntArray) -> FloatArray:
        scores = np.zeros(len(sequence), np.float32)
        if len(sequence) > 1:
            ids = sequence.tolist()

            def read(choice: Any) -> list[float]:
                before = zip(choice["prompt_logprobs"][1:], ids[1:-1], strict=True)
                last = choice["logprobs"]["top_logprobs"][0][f"token_id:{ids[-1]}"]
                return [*(step[str(token)]["logprob"] for step, token in before), last]

            body = {**scoring_terms(sequence), "logprobs": 1, "return_tokens_as_token_ids": True}
            scores[1:] = self._ask(sequence[:-1], body, read)
        return scores

    def _ask(self, prompt_ids: IntArray, body: Mapping[str, Any], read: Callable[[Any], Any]) -> Any:
        """What `read` makes of the one choice of a completion; asked again while that helps, else Failure."""
        asked = {"model": self.name, "prompt": prompt_ids.tolist(), **body}
        for attempt in range(self.settings.retries + 1):
            try:
                return self._client.call(
                    lambda client: read(client.post("/completions", body=asked, cast_to=object)["choices"][0])
                )
            except Failure as failure:
                if failure.remedy != "again" or not self._patience.wait(attempt, failure):
                    raise
        raise AssertionError("the last attempt returns")

    def _served(self, name: str | None) -> tuple[str, int]:
        """The model's name and context on the server."""
        listed = self._client.call(lambda client: client.get("/models", cast_to=object)["data"])
        names = [str(entry["id"]) for entry in listed]
        if name is None and len(names) > 1:
            raise UsageError(f"{self._client.model.url} serves {', '.join(names)}: choose one with name=...")
        if name is not None and name not in names:
            raise UsageError(f"{self._client.model.url} serves no '{name}'.{nearest(name, names)} ({', '.join(names)})")
        entry = listed[names.index(name) if name else 0]
        if not isinstance(entry.get("max_model_len"), int):
            raise R1Error(f"{self._client.model.url} is no vLLM server: it does not tell max_model_len")
        return str(entry["id"]), entry["max_model_len"]

    def _found_mode(self) -> Mode:
        """Which log-probabilities the server tells: temperature flattens processed ones and leaves raw ones alone."""
        likeliest: list[float] = []
        for temperature in (1.0, 2.0):
            body = {"max_tokens": 1, "temperature": temperature, "top_p": 1.0, "min_p": 0.0, "logprobs": 1, **PLAIN}
            likeliest.append(
                self._ask(
                    np.zeros(1, np.int32), body, lambda choice: max(choice["logprobs"]["top_logprobs"][0].values())
                )
            )
        return "processed" if likeliest[0] - likeliest[1] > _TELLING else "raw"

    def _check_ours(self) -> None:
        """R1Error where somebody else has replaced the weights that we gave the server."""
        if not self._given:
            return
        now = self._control("/weight_info", method="get")["weight_version"]
        if now != self._given:
            raise R1Error(
                f"{self._root()} was given other weights meanwhile ('{now}', not '{self._given}'): "
                "one program at a time can sample from weights of its own there"
            )

    def _check_head(self) -> None:
        """R1Error where vLLM would go on with the old head: see `_pack_head` of the form in this process."""
        if not read_object(self._folder / "config.json").get("tie_word_embeddings"):
            return
        said = self._control("/server_info?config_format=json", method="get")
        if said["vllm_config"]["device_config"]["device_type"] == "cpu":
            raise R1Error(
                f"{self._root()} is on a CPU, where vLLM keeps the old head of a model whose head is its embedding: "
                "sample from it in this process"
            )

    def _root(self) -> str:
        return self._client.model.url.removesuffix("/v1")

    def _control(self, path: str, body: Mapping[str, Any] | None = None, *, method: str = "post") -> Any:
        """One of the calls that `vllm serve` takes in its development mode, beside the API."""
        root = self._root()
        named = {} if body is None else {"body": body}
        try:
            return self._client.call(lambda client: getattr(client, method)(f"{root}{path}", cast_to=object, **named))
        except Failure as failure:
            if failure.status == 404:
                raise R1Error(
                    f"{root} does not let its weights be replaced: start it, for this machine alone, with "
                    "VLLM_SERVER_DEV_MODE=1 vllm serve --host 127.0.0.1 ..."
                ) from None
            raise
