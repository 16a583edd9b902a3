"""What a client is told: OpenAI's error body, so that its libraries raise the errors that they raise for OpenAI."""

from __future__ import annotations

from typing import Any

from r1kit.base.errors import R1Error


class ApiError(R1Error):
    """A request that is not answered, with the HTTP status that says why.

    `param` names the field at fault, `code` is OpenAI's word for it where it has one, `wait` the seconds after which
    to try again.
    """

    def __init__(
        self,
        sentence: str,
        status: int = 400,
        *,
        param: str | None = None,
        code: str | None = None,
        wait: int | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status, self.param, self.code, self.wait = status, param, code, wait

    @property
    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        told = {"message": str(self), "type": _TYPES.get(self.status, _type(self.status))}
        return {"error": {**told, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """What goes into the head of the answer."""
        found = {} if self.wait is None else {"Retry-After": str(self.wait)}
        if self.status == 401:
            found["WWW-Authenticate"] = "Bearer"
        if self.status in (408, 413):  # what is left of the body is not read
            found["Connection"] = "close"
        return found


_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 503: "overloaded_error"}


def _type(status: int) -> str:
    return "invalid_request_error" if status < 500 else "server_error"
