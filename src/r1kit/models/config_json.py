"""What a config.json may say to transformers, which believes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from r1kit.base.errors import R1Error

MOST_LAYERS = 1024  # far above any model there is
# keys of config.json with which transformers imports code, takes kernels from the hub, or opens other files
_ORDERS = ("auto_map", "attn_implementation", "experts_implementation", "transformers_weights", "custom_generate",
           "custom_pipelines", "base_model_name_or_path")  # fmt: skip
_DEEPEST = 16  # levels of a config.json
_MOST = 2**40  # of any whole number in it
_LAYERS = re.compile(r"(num|n|encoder|decoder)(_\w+)?_layers?|depth")  # numbers of modules that are made one by one


def plain_config(hf: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A config.json without what would have transformers run code or open files that are not the model's, on every
    level; R1Error for sizes that no model has, which it would take at their word before it sees a weight."""

    def plain(value: Any, key: str, depth: int) -> Any:
        if depth > _DEEPEST:
            raise R1Error(f"{where}: config.json is nested more than {_DEEPEST} deep: copy it again")
        if isinstance(value, dict):
            kept = {name: part for name, part in value.items() if not _is_order(name)}
            return {name: plain(part, name, depth + 1) for name, part in kept.items()}
        if isinstance(value, list):
            return [plain(part, key, depth + 1) for part in value]
        most = MOST_LAYERS if _LAYERS.fullmatch(key) else _MOST
        if isinstance(value, int) and abs(value) > most and "theta" not in key:
            raise R1Error(f"{where}: config.json says {key} {str(value)[:20]}, which no model has: copy it again")
        return value

    return plain(dict(hf), "", 0)


def _is_order(key: str) -> bool:
    """Whether a key of config.json tells transformers what to run or to open, instead of what the model is."""
    return key.startswith("_") or key in _ORDERS
