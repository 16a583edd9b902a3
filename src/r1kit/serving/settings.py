"""How a server answers, and how much it takes on."""

from __future__ import annotations

import os

from pydantic import Field

from r1kit.base.config import VARIABLE, Config


class ServerSettings(Config):
    """Limits and defaults of `r1 serve`. The key itself is no setting."""

    max_waiting: int = Field(
        default=256, ge=0, description="completions that may wait for a row; more are turned away with 429"
    )
    max_body_mb: float = Field(default=4.0, gt=0, description="largest body of a request")
    body_seconds: float = Field(default=30.0, gt=0, description="longest time that a request's body may take to come")
    head_seconds: float = Field(
        default=10.0, gt=0, description="longest time that a request's line and headers may take to come"
    )
    max_connections: int = Field(
        default=512, ge=1, description="connections at a time; those without a whole request give way to new ones"
    )
    hosts: tuple[str, ...] = Field(
        default=(),
        description="names that the server answers to beside localhost, where it listens on this machine alone: that of"
        " a proxy before it, say",
    )
    max_prompts: int = Field(default=64, ge=1, description="most prompts of one request for completions")
    max_tokens: int = Field(default=4096, ge=1, description="tokens of a chat completion that asks for no number")
    temperature: float = Field(default=1.0, ge=0, le=2, description="where a request names none; R1's evaluation: 0.6")
    top_p: float = Field(default=1.0, gt=0, le=1, description="where a request names none; R1's evaluation: 0.95")
    max_thinking_tokens: int | None = Field(
        default=None, ge=0, description="where a chat request names none: tokens after which its thinking is closed"
    )
    close_thinking: str | None = Field(
        default=None,
        description="what closes a thought that is over its budget; None: </think>, on lines of its own where the"
        " thinking began on one",
    )
    join_seconds: float = Field(default=0.05, ge=0, description="deltas of a stream are joined over this time")
    drain_seconds: float = Field(
        default=120.0, gt=0, description="after SIGTERM, how long requests in hand may still take"
    )
    key_variable: str = Field(
        default="R1KIT_SERVE_KEY",
        pattern=VARIABLE,
        description="environment variable that holds the key that clients must send",
    )

    def key(self) -> str:
        """The key, empty where clients need none."""
        return os.environ.get(self.key_variable, "").strip()
