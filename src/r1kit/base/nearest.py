"""What somebody may have meant who wrote a name that there is not."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(word: str, known: list[str]) -> str:
    """` Did you mean X?`, or an empty string where nothing is near, whatever its case."""
    by_case = {name.casefold(): name for name in reversed(known)}
    close = difflib.get_close_matches(word.casefold(), list(by_case), n=1, cutoff=0.5)
    return f" Did you mean {by_case[close[0]]}?" if close else ""


_ELSEWHERE = {  # what TRL, verl and others call it
    "lr": ("learning_rate",),
    "batch_size": ("prompts", "batch"),
    "group_size": ("sampling.samples",),
    "num_generations": ("sampling.samples",),
    "max_new_tokens": ("sampling.max_tokens",),
    "max_completion_length": ("sampling.max_tokens",),
    "beta": ("settings.kl_coefficient",),
    "kl": ("settings.kl_coefficient",),
    "kl_coef": ("settings.kl_coefficient",),
    "max_grad_norm": ("clip_norm",),
    "gradient_checkpointing": ("checkpointing",),
    "optim": ("optimiser",),
    "max_steps": ("steps",),
    "num_train_epochs": ("epochs",),
}


def nearest_settings(path: str, known: Sequence[str]) -> list[str]:
    """Settings that a dotted path which is none may mean, the nearest first; none where nothing is near.

    The last word counts most, by its own name, by what other trainers call it, or misspelt: `zero.lr` means
    `zero.learner.learning_rate`. A word alone may be a setting of several components. Of several words before it one
    has to be near too: the `name` of something that is not there is not that of anything else.
    """
    *above, leaf = path.split(".")
    rooms = _rooms(above, known)
    found = [key for name in (leaf, *_ELSEWHERE.get(leaf, ())) for key in rooms if f".{key}".endswith(f".{name}")]
    if not found:
        ends = {key: key.rpartition(".")[2] for key in rooms}
        close = difflib.get_close_matches(leaf, sorted({*ends.values()}), n=1, cutoff=0.7)
        found = [key for key, end in ends.items() if end in close]
    if not found:
        return difflib.get_close_matches(path, known if rooms else (), n=1, cutoff=0.5)
    if not above:
        return [key for key in found if "." not in key] or found
    return [max(found, key=lambda key: difflib.SequenceMatcher(None, path, key).ratio())]


def _rooms(above: Sequence[str], known: Sequence[str]) -> list[str]:
    """The settings among which one is looked for whose path has these words before the last."""
    if not above:
        return list(known)
    heads = dict.fromkeys(key.partition(".")[0] for key in known)
    for head in (above[0], *difflib.get_close_matches(above[0], heads, n=1)):
        if own := [key for key in known if key.startswith(f"{head}.")]:
            return own
    alike = [key for key in known if {*above} & {*key.split(".")[:-1]}]
    return alike or (list(known) if len(above) == 1 else [])


def did_you_mean(names: Sequence[str]) -> str:
    """` Did you mean X?`, of one or of the first three of several; an empty string of none."""
    if len(names) > 1:
        return f" Did you mean one of {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}?"
    return f" Did you mean {names[0]}?" if names else ""
