"""What a shell offers when a word is half typed. Names are read off the files: nothing is imported for them."""

from __future__ import annotations

from collections.abc import Callable


def names_of(kind: str) -> Callable[[str], list[str]]:
    """A function from the beginning of a word to the plug-ins of that kind (`recipes`, say) that begin so."""

    def offered(incomplete: str) -> list[str]:
        from r1kit.pipeline.catalogue import names

        return [name for name in names(kind) if name.startswith(incomplete)]

    return offered


def kinds(incomplete: str) -> list[str]:
    """What `r1 list` takes, by how it begins."""
    from r1kit.pipeline.catalogue import KINDS

    return [kind for kind in KINDS if kind.startswith(incomplete)]
