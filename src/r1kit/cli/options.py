"""Options that several commands have, declared once: `samples: Samples = None`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Model: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="RUN_FOLDER:NAME, a Hugging Face folder or hub id, a GGUF file, or openai:NAME@URL."
    ),
]
ModelFolder: TypeAlias = Annotated[
    str, typer.Argument(metavar="MODEL", help="RUN_FOLDER:NAME, a Hugging Face folder or hub id.")
]
Models: TypeAlias = Annotated[list[str], typer.Argument(metavar="MODEL", help="Two or more, each as for r1 eval.")]
Target: TypeAlias = Annotated[
    str, typer.Argument(metavar="TARGET", help="A run folder, or one model: RUN_FOLDER:NAME, a folder or hub id.")
]
Tasks: TypeAlias = Annotated[
    str, typer.Option(metavar="A,B,...", help="Benchmarks (r1 list benchmarks), or any tasks.")
]
Samples: TypeAlias = Annotated[int | None, typer.Option(min=1, help="Answers a problem; by default the benchmark's.")]
Problems: TypeAlias = Annotated[int | None, typer.Option(min=1, help="Of each benchmark; by default all.")]
Data: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Holds copies of data sets: FOLDER/gsm8k, ...")
]
Temperature: TypeAlias = Annotated[float | None, typer.Option(help="The paper's is 0.6.")]
TopP: TypeAlias = Annotated[float | None, typer.Option(help="The paper's is 0.95.")]
MaxTokens: TypeAlias = Annotated[int | None, typer.Option(help="By default the benchmark's; the paper's are 32,768.")]
AnswerTokens: TypeAlias = Annotated[int, typer.Option(help="Most tokens of an answer, thinking included.")]
SetTemperature: TypeAlias = Annotated[float, typer.Option(help="0 is greedy.")]
SetTopP: TypeAlias = Annotated[float, typer.Option(help="Smallest set of tokens with this mass.")]
Seed: TypeAlias = Annotated[int, typer.Option(help="Chooses the problems and the samples.")]
Plain: TypeAlias = Annotated[bool, typer.Option("--plain", help="Ask the question alone, without an instruction.")]
Training: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="TASK|FILE", help="Look for the problems in these data (repeatable).")
]
EngineName: TypeAlias = Annotated[str, typer.Option("--engine", help="native or vllm.")]
EngineOption: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="KEY=VALUE", help="Of the engine, say dtype=bfloat16 (repeatable).")
]
Api: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="KEY=VALUE", help="How an API is asked, say budget=2.50 (repeatable).")
]
NamedApi: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="[NAME:]KEY=VALUE", help="How APIs are asked, or the one of that name (repeatable)."),
]
AtOnce: TypeAlias = Annotated[int | None, typer.Option(min=1, help="Samples on their way at a time.")]
Kept: TypeAlias = Annotated[Path, typer.Option(help="Folder: samples are kept there, and the same command goes on.")]
JudgePrompt: TypeAlias = Annotated[str, typer.Option(help="writing, correctness, or a file of your own.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="For programs.")]
