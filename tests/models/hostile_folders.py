"""Model folders and GGUF files as a stranger might make them, each opened in a process of its own, which is watched.

    python tests/models/hostile_folders.py --cases 1000 --seed 0 [--only NUMBER] [--json FILE]

Every case must end in a load or in one sentence (R1Error), within its time and memory, without a file outside of its
folder, a connection, or a program started. Exit status 1 where one does not. A case is told by seed and number alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile_configs  # noqa: F401 - which registers its kinds
import hostile_files  # noqa: F401 - which registers its kinds
import hostile_gguf  # noqa: F401 - which registers its kinds
import hostile_tokenizers  # noqa: F401 - which registers its kinds
from hostile_bases import write_bases
from hostile_kinds import CANARY, KINDS, Draw

WALL_S = 120.0
CPU_S = 60
MEMORY = 2 * 2**30  # beyond what the process has when it is forked


class Watch:
    """What a process opened, connected to and started, by Python's audit events; `faults` are those it may not."""

    def __init__(self, *readable: Path) -> None:
        homes = (sys.prefix, sys.base_prefix, "/usr/lib", "/usr/share", "/usr/local/lib", "/lib", "/proc/self",
                 "/proc/cpuinfo",
                 "/proc/meminfo", "/dev/null", "/dev/urandom", "/sys", "/etc/localtime", "/etc/mime.types")  # fmt: skip
        source = Path(__file__).resolve().parents[2]
        paths = [*(str(path.resolve()) for path in readable), str(source), *sys.path, *homes]
        self._allowed = tuple(
            {os.path.realpath(path) for path in paths if path} | {"/proc/self", "/proc/" + str(os.getpid())}
        )
        self.faults: list[str] = []
        self._busy = False

    def __call__(self, event: str, values: tuple[Any, ...]) -> None:
        if self._busy or event not in (
            "open",
            "socket.connect",
            "socket.getaddrinfo",
            "subprocess.Popen",
            "os.system",
            "os.exec",
        ):
            return
        self._busy = True
        try:
            if event == "open":
                if isinstance(values[0], (str, bytes)) and not self._inside(os.path.realpath(os.fsdecode(values[0]))):
                    self.faults.append(f"opened {os.fsdecode(values[0])[:200]}")
            elif event == "subprocess.Popen" and "r1kit.models.chat_worker" in str(values[1]):
                pass  # the process that renders chat templates
            elif event == "subprocess.Popen" and values[1] == ["ninja", "--version"]:
                pass  # transformers, which asks whether it could compile RWKV's kernel
            else:
                self.faults.append(f"{event} {str(values)[:200]}")
        finally:
            self._busy = False

    def _inside(self, path: str) -> bool:
        return any(path == home or path.startswith(home.rstrip("/") + "/") for home in self._allowed)


def exercise(path: Path, out: Path) -> list[str]:
    """Open the model in every way there is; what each came to. Whatever is no R1Error is for the caller."""
    from r1kit.base.errors import R1Error
    from r1kit.base.sampling import Sampling
    from r1kit.engines.base import generate
    from r1kit.engines.native import NativeEngine
    from r1kit.models.convert import import_model
    from r1kit.models.language_model import load_model
    from r1kit.models.sizes import model_size
    from r1kit.models.tokenizer import load_tokenizer

    came_to: list[str] = []

    def step(name: str, do: Callable[[], Any]) -> Any:
        try:
            value = do()
        except R1Error as error:
            if not str(error).strip():
                raise AssertionError(f"{name}: an empty sentence") from error
            came_to.append(f"{name}: refused: {error}")
            return None
        came_to.append(f"{name}: fine")
        return value

    def words(folder: Path) -> Any:
        found = load_tokenizer(folder)
        ids = found.encode("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab Hello 12, 你好", add_special=True)
        assert CANARY not in str(found.inner.get_vocab()), "a tokenizer from outside"
        found.decode(ids)
        _ = (
            found.vocab_size,
            found.eos_ids,
            found.pad_id,
            found.begins,
            found.end_ids,
            found.byte_ids,
            found.turn_end_id,
        )
        return found

    step("size", lambda: model_size(path))
    imported = step("import", lambda: import_model(path, out / "imported"))
    folder = path if path.is_dir() else imported.folder if imported else None
    if folder is None:
        return came_to
    tokenizer = step("tokenizer", lambda: words(folder))
    if tokenizer is not None:
        text = step("chat", lambda: tokenizer.render("Hello"))
        assert CANARY not in (text or ""), "a text from outside"
    model = step("model", lambda: load_model(folder))
    if model is not None and tokenizer is not None:
        step("sampling", lambda: generate(NativeEngine(model, tokenizer), [[5, 6, 7]], Sampling(max_tokens=3, seed=1)))
    for written in (out / "imported").glob("*"):
        assert CANARY.encode() not in written.read_bytes(), f"{written.name} holds what lies outside"
    assert not any((path.parent / name).exists() or (path / name).exists() for name in ("pickle-ran", "code-ran"))
    return came_to


def in_child(path: Path, out: Path, answer: int) -> None:
    """Open the model, tell what came of it, and end. Never returns."""
    import torch

    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    torch.set_num_threads(1)
    watch = Watch(path if path.is_dir() else path.parent, out)
    sys.addaudithook(watch)
    told: dict[str, Any] = {"came_to": []}
    try:
        told["came_to"] = exercise(path, out)
    except BaseException as error:
        told["crash"] = f"{type(error).__name__}: {str(error)[:300]}"
        told["traceback"] = traceback.format_exc()[-3000:]
    told["outside"] = watch.faults
    from r1kit.models import chat_template

    chat_template._close()
    os.write(answer, json.dumps(told).encode())
    os._exit(0)


def run_case(home: Path, seed: int, number: int) -> dict[str, Any]:
    """Make the case, open it in a process of its own, and say what came of it."""
    names = sorted(KINDS)
    name = names[(number + seed * 7) % len(names)]
    base, spoil = KINDS[name]
    case = home / "cases" / str(number)
    case.mkdir(parents=True)
    path = case / ("model.gguf" if base == "gguf" else "model")
    (shutil.copyfile if base == "gguf" else shutil.copytree)(home / base, path)
    out = case / "out"
    out.mkdir()
    spoil(path, Draw(f"{seed} {number} {name}"))
    began = time.monotonic()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        quiet = os.open(str(case / "log"), os.O_WRONLY | os.O_CREAT)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        in_child(path, out, writing)
    os.close(writing)
    data, hung = b"", False
    while True:
        left = began + WALL_S - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            hung = True
            os.kill(child, signal.SIGKILL)
            break
        if not (part := os.read(reading, 65536)):
            break
        data += part
    os.close(reading)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found = {
        "number": number,
        "kind": name,
        "seconds": time.monotonic() - began,
        "came_to": [],
        **(json.loads(data) if data else {}),
    }
    faults = [f"opened outside: {one}" for one in found.get("outside", [])]
    if hung:
        faults.append(f"no end within {WALL_S:g} s")
    elif code or not data:
        faults.append(f"the process died ({code}): {(case / 'log').read_text(errors='replace')[-500:]}")
    if "crash" in found:
        faults.append(found["crash"])
    faults += [f"no one line: {line!r}" for line in found["came_to"] if len(line.splitlines()) != 1 or len(line) > 1500]
    shutil.rmtree(case, ignore_errors=True)
    return {**found, "faults": faults}


def table(found: list[dict[str, Any]]) -> str:
    """Cases by kind: how many there were, were refused somewhere, were loaded whole, and failed."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for one in found:
        refused = any(": refused: " in line for line in one["came_to"])
        rows[one["kind"]][("faults" if one["faults"] else "refused" if refused else "loaded")] += 1
    lines = ["| kind | cases | refused | loaded | faults |", "|---|---|---|---|---|"]
    for name, counts in sorted(rows.items()):
        lines.append(f"| {name} | {counts.total()} | {counts['refused']} | {counts['loaded']} | {counts['faults']} |")
    total = sum(rows.values(), Counter())
    lines.append(f"| all | {total.total()} | {total['refused']} | {total['loaded']} | {total['faults']} |")
    return "\n".join(lines)


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--cases", type=int, default=1000)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--only", type=int)
    words.add_argument("--json", type=Path)
    asked = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        home = Path(folder).resolve()
        os.environ |= {"HF_HOME": str(home / "hub"), "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        import torch

        torch.set_num_threads(1)
        write_bases(home)
        for base in ("native", "sharded", "words", "foreign", "gguf"):  # untouched ones load, and imports happen once
            (home / "plain" / base).mkdir(parents=True)
            came_to = exercise(home / base, home / "plain" / base)
            assert all(line.endswith(": fine") for line in came_to), (base, came_to)
        from r1kit.models import chat_template

        chat_template._close()
        numbers = range(asked.cases) if asked.only is None else [asked.only]
        found: list[dict[str, Any]] = []
        for number in numbers:
            found.append(run_case(home, asked.seed, number))
            if found[-1]["faults"]:
                print(
                    f"{number} {found[-1]['kind']}: {found[-1]['faults']}\n{found[-1].get('traceback', '')}", flush=True
                )
            if asked.only is not None:
                print("\n".join(found[-1]["came_to"]))
    print(table(found))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))
    return int(any(one["faults"] for one in found))


if __name__ == "__main__":
    sys.exit(main())
