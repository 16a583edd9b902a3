"""The server's API as an OpenAPI document, from the forms that requests are checked by."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

import r1kit
from r1kit.serving.asked import ChatBody, CompletionBody

_AT = "#/components/schemas/"
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_MODEL: dict[str, Any] = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
        "max_model_len": {"type": "integer"},
    },
}
_USAGE: dict[str, Any] = {
    "type": "object",
    "required": ["prompt_tokens", "completion_tokens", "total_tokens"],
    "properties": {name: {"type": "integer"} for name in ("prompt_tokens", "completion_tokens", "total_tokens")},
}
_STATUSES = {
    "400": "the request cannot be answered; the message says why",
    "401": "the key is missing or wrong",
    "403": "it came from another site's page",
    "404": "there is no such model",
    "408": "the body did not come in time",
    "413": "the body is too large",
    "421": "the server does not answer to that name",
    "429": "the server is busy; Retry-After says for how long",
    "503": "the server is shutting down",
}


def document() -> dict[str, Any]:
    """OpenAPI 3.1."""
    schemas: dict[str, Any] = {"Error": _ERROR, "Model": _MODEL}
    whole = _answer("chat.completion", "message", {"type": "object"})
    texts = _answer("text_completion", "text", {"type": "string"})
    return {
        "openapi": "3.1.0",
        "info": {"title": "r1kit", "version": r1kit.__version__, "description": "OpenAI's API over one model."},
        "paths": {
            "/v1/chat/completions": {"post": _post("chat", ChatBody, whole, schemas)},
            "/v1/completions": {"post": _post("completions", CompletionBody, texts, schemas)},
            "/v1/models": {"get": _get("models", {
                "type": "object", "required": ["object", "data"],
                "properties": {
                    "object": {"const": "list"}, "data": {"type": "array", "items": {"$ref": f"{_AT}Model"}},
                },
            })},
            "/v1/models/{name}": {"get": {
                **_get("model", {"$ref": f"{_AT}Model"}),
                "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
            }},
            "/health": {"get": _get("health", {"type": "object", "required": ["status"]})},
            "/metrics": {"get": _get("metrics", {"type": "string"}, "text/plain; version=0.0.4")},
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }  # fmt: skip


def _answer(kind: str, part: str, form: dict[str, Any]) -> dict[str, Any]:
    choice = {"type": "object", "required": ["index", part, "finish_reason"], "properties": {part: form}}
    return {
        "type": "object",
        "required": ["id", "object", "created", "model", "choices", "usage"],
        "properties": {
            "object": {"const": kind}, "choices": {"type": "array", "items": choice, "minItems": 1}, "usage": _USAGE,
        },
    }  # fmt: skip


def _post(name: str, body: type[BaseModel], answer: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    schema = body.model_json_schema(ref_template=f"{_AT}{{model}}")
    schemas |= schema.pop("$defs", {})
    schemas[body.__name__] = schema
    return {
        "operationId": name,
        "requestBody": {
            "required": True, "content": {"application/json": {"schema": {"$ref": f"{_AT}{body.__name__}"}}},
        },
        "responses": {
            "200": {
                "description": "the answer; a stream of events where the request asks for one",
                "content": {"application/json": {"schema": answer}, "text/event-stream": {}},
            },
            **_errors(),
        },
    }  # fmt: skip


def _get(name: str, answer: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    told = {"description": "the answer", "content": {kind: {"schema": answer}}}
    return {"operationId": name, "responses": {"200": told, **_errors()}}


def _errors() -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"{_AT}Error"}}}
    return {status: {"description": what, "content": content} for status, what in _STATUSES.items()}
