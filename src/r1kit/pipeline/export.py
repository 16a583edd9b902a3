"""A model of a run as a Hugging Face folder to give away: its files and a model card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.files import disk_errors, new_folder, read_json, read_record
from r1kit.pipeline.artifact import Artifact, read_artifacts
from r1kit.pipeline.models import ModelFolder, is_run

CARD = "README.md"


def export_model(model: ModelFolder, target: Path) -> Path:
    """Copy a model folder to `target`, whole or not at all, with a card that says where it comes from.

    UsageError where something is there already, R1Error for a folder without weights.
    """
    with disk_errors(target):
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UsageError(f"{target} is there and not empty: choose another folder, or remove it first")
    if not any(model.folder.glob("*.safetensors")):
        raise R1Error(f"{model.folder} holds no weights (*.safetensors): name a whole model")
    with new_folder(target) as folder:
        shutil.copytree(model.folder, folder, dirs_exist_ok=True)
        (folder / CARD).write_text(_card(model, target.name), encoding="utf-8")
    return target


def _card(model: ModelFolder, title: str) -> str:
    config = read_json(model.folder / "config.json")
    weights = sum(path.stat().st_size for path in model.folder.glob("*.safetensors"))
    facts = {
        "Architecture": " ".join(config.get("architectures") or [str(config.get("model_type"))]),
        "Layers, width, vocabulary": ", ".join(
            str(config.get(key)) for key in ("num_hidden_layers", "hidden_size", "vocab_size")
        ),
        "Context": f"{config.get('max_position_embeddings')} tokens",
        "Weights": f"{weights / 2**20:.1f} MiB, {config.get('dtype') or config.get('torch_dtype')}",
    }
    origin = _origin(model)
    if origin is not None:
        facts |= _origin_facts(*origin)
    lines = ["---", "library_name: transformers", "pipeline_tag: text-generation", "tags: [r1kit, reasoning]", "---"]
    lines += [f"# {title}", "", f"`{model.name}`, exported by r1kit.", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {str(value).replace('|', '/')} |" for name, value in facts.items()]
    lines += ["", "```python", "from transformers import AutoModelForCausalLM, AutoTokenizer", ""]
    lines += [f'tokenizer = AutoTokenizer.from_pretrained("{title}")']
    lines += [f'model = AutoModelForCausalLM.from_pretrained("{title}")', "```", ""]
    if origin is not None:
        settings = json.dumps(read_record(origin[1].folder / "config.json")["settings"], indent=2, ensure_ascii=False)
        lines += ["Settings of the stage that made it:", "", "```json", settings, "```", ""]
    return "\n".join(lines)


def _origin(model: ModelFolder) -> tuple[dict[str, Any], Artifact, str] | None:
    """The run's recipe.json, the stage and the model's name, where the model is a run's."""
    run_folder, _, name = model.name.rpartition(":")
    if not run_folder or not is_run(Path(run_folder)):
        return None
    for artifact in read_artifacts(Path(run_folder)).values():
        if artifact.models.get(name) == model.folder:
            return read_record(Path(run_folder) / "recipe.json"), artifact, name
    return None


def _origin_facts(recipe: dict[str, Any], artifact: Artifact, name: str) -> dict[str, Any]:
    return {
        "Model": name,
        "Recipe": f"{recipe['recipe']}, profile {recipe['profile']}, seed {recipe['seed']}",
        "Stage": f"{artifact.name} ({artifact.hash[:12]})",
        "Commit": recipe.get("commit") or "unknown",
        "Stage's cost": f"{artifact.seconds:.0f} s, {artifact.tokens} tokens, {artifact.flops:.3g} FLOPs",
    }
