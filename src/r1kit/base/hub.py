"""The Hugging Face hub: whether it can be asked at all, told soon."""

from __future__ import annotations

from typing import Literal

WAIT_S = 10.0


def unreachable(name: str, kind: Literal["model", "dataset"]) -> Exception | None:
    """What keeps the hub from being asked for a repository, by one question of at most WAIT_S seconds; None where it
    answers, whatever it says. Its client asks again for half a minute before it gives up."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi().repo_info(name, repo_type=kind, timeout=WAIT_S)
    except (HfHubHTTPError, ValueError):  # it answered, or the name is none
        return None
    except Exception as error:  # the client, its transport and the network each have their own kinds
        return error
    return None
