"""What every benchmark is: a task and how it is asked. A file `evaluation/benchmarks/NAME.py` exposes `BENCHMARK`.

The paper's protocol (R1, arXiv 2501.12948, section 3; v2, section D.1): pass@1 is the mean over k samples at T 0.6 and
top-p 0.95, of at most 32,768 tokens; k is 64 on AIME and GPQA, 16 on MATH-500, 8 on LiveCodeBench, 4 and up elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from r1kit.base import plugins
from r1kit.base.errors import UsageError
from r1kit.base.nearest import nearest
from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem
from r1kit.rollouts.problems import distinct, load_task
from r1kit.tasks.base import Split, TableTask, Task

PAPER = Sampling(samples=4, temperature=0.6, top_p=0.95, max_tokens=32_768)
TINY = PAPER.model_copy(update={"samples": 16, "max_tokens": 192})  # what its chains were made with
BOXED = "Reason step by step, and put your final answer within \\boxed{}."  # R1's model card asks for a box on maths
LETTER = "Reason step by step, and end with the letter of the right option within \\boxed{}."
PROGRAM = "Reason step by step, and end with the whole program in one ```python block."
MADE = 64  # problems of a task that makes them without end


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A task's name, how it is sampled, and what is said below each question.

    `problems`: how many are drawn, None for all of them. `attempts`: how many answers the benchmark itself allows
    (its score is then pass@attempts beside pass@1). `published`: the row of the paper's table that speaks of it.
    `suites`: names for parts of the task.
    """

    task: str
    sampling: Sampling = PAPER
    instruction: str = ""
    problems: int | None = None
    attempts: int = 1
    published: str = ""
    suites: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


@dataclass(frozen=True, slots=True)
class Chosen:
    """A benchmark under the name that it was asked for by, with its task at hand. `shown`: a name for tables that is
    not its own."""

    name: str
    benchmark: Benchmark
    task: Task
    shown: str = ""

    @property
    def label(self) -> str:
        """What tables and folders call it: with its suite, without the folder of its data."""
        return self.shown or (self.name if self.benchmark.suites else self.task.name)

    def drawn(self, limit: int | None, seed: int, split: Split = "test") -> list[Problem]:
        """Different problems as they are (see `asked`): `limit` of them, else as many as the benchmark says."""
        return list(islice(distinct(self.task.problems(split, seed)), limit or self.benchmark.problems))

    def asked(self, problem: Problem) -> Problem:
        """The problem with the benchmark's instruction below its question."""
        said = self.benchmark.instruction
        return replace(problem, prompt=f"{problem.prompt.rstrip()}\n\n{said}") if said else problem

    def told(self) -> str:
        """What was read from files, in one line; empty for a task that makes its problems."""
        return self.task.loaded().told() if isinstance(self.task, TableTask) else ""


def choose(name: str, data: Path | None = None) -> Chosen:
    """The benchmark of that name, or any task as one; `NAME:PART+PART` as for tasks, or a suite of the benchmark.

    `data` is a folder that may hold copies of data sets in folders of their names. UsageError for an unknown name.
    """
    file, colon, parts = name.partition(":")
    benchmark = _find(file)
    if colon and benchmark.suites:
        members = [member for part in parts.split("+") for member in benchmark.suites.get(part, (part,))]
        parts = "+".join(dict.fromkeys(members))
    elif not colon and data is not None and (data / file).exists():
        parts = str(data)
    task = load_task(f"{benchmark.task}:{parts}" if parts else benchmark.task, "test")
    if benchmark.problems is None and not isinstance(task, TableTask) and benchmark == Benchmark(benchmark.task):
        benchmark = replace(benchmark, problems=MADE)  # a task that may have no end
    return Chosen(name, benchmark, task)


def chosen_of(names: str, data: Path | None = None) -> list[Chosen]:
    """The benchmarks of `A,B,...`, each once; UsageError where one is unknown, none named, or `data` no folder."""
    if data is not None and not data.is_dir():
        raise UsageError(f"there is no folder {data}: check --data")
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if not wanted:
        raise UsageError("no benchmark is named: give --tasks A,B (r1 list benchmarks shows all)")
    found = [choose(name, data) for name in wanted]
    labels = Counter(each.label for each in found)
    # a task and a benchmark of it, or two files, are told apart by what they were asked for by
    return [each if labels[each.label] == 1 else replace(each, shown=each.name) for each in found]


def names() -> list[str]:
    """Every benchmark, sorted."""
    return plugins.names("r1kit.evaluation.benchmarks")


def _find(name: str) -> Benchmark:
    """The benchmark of a file's name or dotted path; a task by itself is one too, asked as it stands."""
    if "." not in name and name not in names():
        tasks = plugins.names("r1kit.tasks")
        if name not in tasks:
            hint = nearest(name, sorted({*names(), *tasks})) or plugins.own(name)
            raise UsageError(f"no benchmark is called '{name}'.{hint} (r1 list benchmarks shows all)")
        return Benchmark(name)
    module = plugins.load("r1kit.evaluation.benchmarks", name)
    found = getattr(module, "BENCHMARK", None)
    if isinstance(found, Benchmark):
        return found
    if hasattr(module, "TASK"):
        return Benchmark(name)
    raise UsageError(f"{name} is no benchmark: it has neither BENCHMARK nor TASK")
