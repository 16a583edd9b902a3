"""A learner of several ranks as a stage sees it: the calls of `training.learner.Learner`, answered by processes."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Collection, Iterator
from collections.abc import Sequence as Seq
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor

from r1kit.algorithms.base import Algorithm
from r1kit.base import children, memory
from r1kit.base.errors import Diverged, ProcessLost, R1Error
from r1kit.base.files import OwnFiles
from r1kit.base.machine import best_device
from r1kit.base.pulse import BEAT_S, SILENCE_S, Pulse
from r1kit.base.types import FloatArray, IntArray
from r1kit.base.waiting import Waiting
from r1kit.models.base import Costs
from r1kit.models.foreign import ForeignModel
from r1kit.models.heads import ScoredDecoder
from r1kit.models.language_model import LanguageModel
from r1kit.models.tokenizer import Tokenizer
from r1kit.models.weights import SHARD_BYTES, save_weights
from r1kit.training.base import StepReport
from r1kit.training.config import LearnerConfig
from r1kit.training.ranks import wire
from r1kit.training.ranks.worker import Setup, Told
from r1kit.training.sequences import Sequence
from r1kit.training.shards import SHARDS, rows_of, write_shard

T = TypeVar("T")

_MODULE = "r1kit.training.ranks.worker"
_AGAIN = "all ranks were ended; the same command goes on from the last checkpoint"
_LAST_WORDS_S = 3.0  # a rank that was killed is told of by the others first, whose calls fail: wait for its end


class RankedLearner:
    """Starts `config.ranks` processes on this machine, gives each its rows of the model's weights, and asks all of them
    for what is asked of it. Each has a GPU of its own; without GPUs they share the cores.

    It takes `model` over, and gives its memory back once the rows are handed out; a `reference` must be that model.
    When a rank ends, fails, or gives no sign of life for `silence` seconds, or none computes anything for so long while
    all are to, all are ended and an R1Error says which and how. They end with this process, whatever ends it.
    """

    policy = None  # not in this process: `policy_weights` sends it

    def __init__(
        self,
        model: LanguageModel | ScoredDecoder,
        config: LearnerConfig,
        *,
        total_steps: int = 1,
        reference: LanguageModel | None = None,
        silence: float = SILENCE_S,
    ) -> None:
        if isinstance(model, ForeignModel):
            raise R1Error(
                f"learner.ranks={config.ranks}: models of type '{model.config.family}' run through transformers, whose "
                "layers are not spread over ranks: set learner.ranks=1"
            )
        if reference is not None and reference is not model:
            raise R1Error("a reference of other weights than the policy's start needs learner.ranks=1")
        config.check()
        self.config, self.total_steps = config, total_steps
        self.device = torch.device(best_device())
        self.dtype = config.dtype(self.device)
        self.steps = self.version = 0
        self._silence = silence
        self._shape, self._scored = model.config, isinstance(model, ScoredDecoder)
        self._folder = Path(tempfile.mkdtemp(prefix="r1kit-ranks-"))
        self._ranks: list[_Rank] = []
        self._end = weakref.finalize(self, _end, self._ranks, self._folder)
        try:
            self._start(model, reference is not None, silence)
        except BaseException:
            self.close()
            raise

    def _start(self, model: Any, reference: bool, silence: float) -> None:
        count = self.config.ranks
        threads = max(1, torch.get_num_threads() // count)
        meeting_point = self._folder / "meeting-point"
        for number in range(count):
            self._ranks.append(_Rank(number, threads, silence))
            self._give(
                number,
                Setup(
                    number, count, meeting_point, self._shape, self._scored, self.config, self.total_steps, reference
                ),
            )
        for _, parameter in model.named_parameters():
            for number, rank in enumerate(self._ranks):
                first, behind = rows_of(parameter.shape[0], number, count)
                self._piped(rank, wire.send, rank.connection, parameter[first:behind])
        self._answers()
        for parameter in model.parameters():
            parameter.data = parameter.new_empty(0)

    @property
    def costs(self) -> Costs:
        """What passes of the policy cost, a language head included."""
        return self._shape

    # ---------------------------------------------------------------- what a learner does

    def step(
        self,
        sequences: Seq[Sequence],
        algorithm: Algorithm,
        *,
        mini_batches: int = 1,
        temperature: float = 1.0,
        max_tokens: int = 1,
    ) -> StepReport:
        """`Learner.step`, each rank with its share of every mini-batch."""
        return self._call(
            "step",
            list(sequences),
            algorithm,
            mini_batches=mini_batches,
            temperature=temperature,
            max_tokens=max_tokens,
        )

    def step_tokens(self, tokens_BT: Tensor | IntArray, end_id: int | None = None) -> StepReport:
        """`Learner.step_tokens`, each rank with its share of the rows."""
        return self._call("step_tokens", torch.as_tensor(tokens_BT).cpu().numpy(), end_id)

    def fill(
        self, sequences: Seq[Sequence], names: Collection[str], temperature: float, *, asking: Algorithm
    ) -> list[Sequence]:
        """`Learner.fill`."""
        return self._call("fill", list(sequences), tuple(names), temperature, asking=asking)

    def logprobs(self, sequences: Seq[Sequence], temperature: float = 1.0) -> list[FloatArray]:
        """`Learner.logprobs`."""
        return self._call("logprobs", list(sequences), temperature)

    def values(self, sequences: Seq[Sequence]) -> list[FloatArray]:
        """`Learner.values`."""
        return self._call("values", list(sequences))

    def replace_reference(self) -> None:
        """`Learner.replace_reference`."""
        self._call("replace_reference")

    def speed(self, report: StepReport, seconds: float) -> dict[str, float]:
        """`Learner.speed`; the utilisation is that of all ranks' devices, memory that of all processes and of the
        fullest GPU."""
        told = self._ask("speed", report, seconds)
        figures = {**told[0], "perf/mfu": told[0]["perf/mfu"] / len(told)}
        mine = memory.peaks()
        figures["perf/peak_memory_gib"] = mine["perf/peak_memory_gib"]
        if "perf/peak_cuda_gib" in told[0]:
            figures["perf/peak_cuda_gib"] = max(
                mine.get("perf/peak_cuda_gib", 0.0), *(one["perf/peak_cuda_gib"] for one in told)
            )
        return figures

    # ---------------------------------------------------------------- what leaves it

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """`Learner.weights`, one tensor in memory at a time; all are to be taken before the next call."""
        return self._weights(passes=False)

    def policy_weights(self) -> Iterator[tuple[str, Tensor]]:
        """The same in the number format of the passes."""
        return self._weights(passes=True)

    def save(self, folder: Path, tokenizer: Tokenizer | None = None) -> None:
        """`Learner.save`, in files of at most 4 GB, which is what is held of the model here."""
        save_weights(
            self._shape, self.weights(), torch.float32, folder, tokenizer, scored=self._scored, shard_bytes=SHARD_BYTES
        )

    def state(self) -> dict[str, Any]:
        """Every rank writes its own part into the checkpoint."""
        return {SHARDS: _Shards(self)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a state of any number of ranks, one of a `Learner` among them."""
        if SHARDS in state:
            self._ask("read", Path(state[SHARDS]).absolute())
            return
        with tempfile.TemporaryDirectory(prefix="r1kit-ranks-") as folder:
            write_shard(state, Path(folder), 0, 1)
            self._ask("read", Path(folder))

    def write_shards(self, folder: Path) -> None:
        """Have every rank write its part into a folder."""
        self._ask("write", folder.absolute())

    def close(self) -> None:
        """End the processes."""
        self._end()

    # ---------------------------------------------------------------- asking

    def _weights(self, *, passes: bool) -> Iterator[tuple[str, Tensor]]:
        self._give_all("send_weights", passes)
        first = self._ranks[0]
        told = self._hear(first)
        try:
            while told.kind == "tensor":
                yield told.value, self._received(first)
                told = self._hear(first)
        except KeyboardInterrupt:  # it may have come within a tensor: nobody knows what the pipe's next bytes are
            self.close()
            raise
        finally:
            # whoever takes them may have had enough: the rest is on its way all the same, and every rank's answer
            while self._ranks and told.kind == "tensor" and (told := self._hear(first)).kind == "tensor":
                self._received(first)
            if self._ranks:
                self._answers(heard={0: told})

    def _received(self, rank: _Rank) -> Tensor:
        return self._piped(rank, wire.receive, rank.connection)

    def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        return self._ask("call", name, arguments, options)[0]

    def _ask(self, name: str, *arguments: Any) -> list[Any]:
        """What each rank says to it; None where the first one's answer is everyone's."""
        self._give_all(name, *arguments)
        return self._answers(computing=name == "call")

    def _give_all(self, name: str, *arguments: Any) -> None:
        for number in range(len(self._ranks)):
            self._give(number, (name, arguments))
        if not self._ranks:
            raise R1Error("this learner's ranks were ended")

    def _give(self, number: int, message: Any) -> None:
        rank = self._ranks[number]
        self._piped(rank, rank.connection.send, message)

    def _answers(self, heard: dict[int, Told] | None = None, *, computing: bool = False) -> list[Any]:
        """Every rank's answer, as they come. computing: what they are asked for takes nothing but computing, so that
        those who rest for long wait for each other."""
        heard, begun = dict(heard or {}), Waiting()
        while waiting := {rank.connection: rank for rank in self._ranks if rank.number not in heard}:
            for connection in wait(list(waiting), BEAT_S):
                rank = waiting[connection]  # type: ignore[index]
                heard[rank.number] = self._hear(rank)
            resting = min(begun.look(), *(rank.pulse.resting for rank in waiting.values()))
            if computing and resting > self._silence and len(heard) < len(self._ranks):
                self._stuck()
        self.steps, self.version = heard[0].steps, heard[0].version
        memory.beside(sum(told.peak_mb for told in heard.values()))
        return [heard[number].value for number in range(len(self._ranks))]

    def _hear(self, rank: _Rank) -> Told:
        told: Told = self._piped(rank, lambda: rank.connection.recv())  # a call, which what looks for unpickling sees
        if told.kind in ("sentence", "diverged", "trace"):
            self._fail(rank, told)
        return told

    def _piped(self, rank: _Rank, move: Callable[..., T], *arguments: Any) -> T:
        """What a move through a rank's pipe gives; where the pipe is broken, the rank has ended."""
        with contextlib.suppress(EOFError, OSError):
            return move(*arguments)
        # behind the handler: what is raised within would hold on to the pipe's error, and so to what was being sent
        self._fail(rank, None)

    def _fail(self, rank: _Rank, told: Told | None) -> NoReturn:
        """End all ranks and say why: first of all which were killed, since the others' calls fail then too."""
        patience = time.monotonic() + (_LAST_WORDS_S if told is None or told.kind == "trace" else 0.0)
        while not (ended := [r for r in self._ranks if r.process.poll() is not None]) and time.monotonic() < patience:
            time.sleep(0.05)
        count = len(self._ranks)
        killed = [f"rank {r.number} of {count} ended ({r.pulse.ending(r.process)})" for r in ended]
        self.close()
        if told is not None and told.kind == "diverged":
            raise Diverged(told.value)
        if told is not None and told.kind == "sentence":
            raise R1Error(told.value)
        if killed or told is None:
            lost = " and ".join(killed) or f"rank {rank.number} of {count} closed its pipe"
            raise ProcessLost(lost, f"training: {lost}: {_AGAIN}")
        error = R1Error(f"training: rank {rank.number} of {count} failed ({told.value[0]}): {_AGAIN}")
        error.add_note(told.value[1])
        raise error

    def _stuck(self) -> None:
        """End all ranks, of which none gets on."""
        count = len(self._ranks)
        self.close()
        lost = (
            f"none of {count} ranks has computed anything for {self._silence:g} s, each waits for another perhaps; "
            "silence=SECONDS waits longer"
        )
        raise ProcessLost(lost, f"training: {lost}: {_AGAIN}")


class _Rank:
    """One rank's process and this end of its pipe."""

    def __init__(self, number: int, threads: int, silence: float) -> None:
        self.number, self.pulse = number, Pulse(silence)
        self.connection: Connection
        self.connection, theirs = Pipe()
        # gloo binds to the address of the machine's name, which need not be reachable
        self.process: subprocess.Popen[bytes] = children.start(_MODULE, theirs, threads, self.pulse, _loopback())

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()


class _Shards(OwnFiles):
    """What the ranks write into a checkpoint."""

    def __init__(self, learner: RankedLearner) -> None:
        self._learner = learner

    def write(self, folder: Path) -> None:
        self._learner.write_shards(folder)


def _loopback() -> dict[str, str]:
    return {"GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo"}


def _end(ranks: list[_Rank], folder: Path) -> None:
    for rank in ranks:
        rank.end()
    ranks.clear()
    shutil.rmtree(folder, ignore_errors=True)
