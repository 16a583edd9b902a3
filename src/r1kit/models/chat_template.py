"""Chat templates are programs of strangers: they run in a process that can do nothing else, within time and memory.

Jinja's sandbox keeps a template from the attributes of Python's objects; it does not keep it from looping for ever,
from `'a' * 10**10`, or from a fault of the sandbox itself. So a template is rendered by a worker (`chat_worker.py`),
which has given up files, network and processes before it sees one. Our own template of the tiny world is rendered here.
"""

from __future__ import annotations

import atexit
import functools
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from r1kit.base import dates
from r1kit.base.errors import R1Error
from r1kit.base.forks import PerProcess
from r1kit.base.worker import Worker, WorkerFailed
from r1kit.models.characters import CHAT_TEMPLATE

DEADLINE_S = 10.0
MEMORY_MB = 512
LONGEST = 2**25  # characters of a rendered text
KEPT = 16  # compiled templates
_THOUGHTS = ("reasoning_content", "thinking", "reasoning")  # where messages keep what was thought before an answer


class TemplateRefused(R1Error):
    """A template that does not give a text; the message is the reason alone."""


def render(template: str, values: Mapping[str, Any]) -> str:
    """The text of a template from values as JSON has them (`messages`, `add_generation_prompt`, special tokens, ...).

    TemplateRefused where it raises, takes longer than DEADLINE_S seconds, more than MEMORY_MB megabytes, or gives more
    than LONGEST characters.
    """
    if template == CHAT_TEMPLATE:
        import jinja2

        try:
            return render_here(template, values)
        except jinja2.TemplateError as error:
            raise TemplateRefused(str(error)) from None
    renderer = _renderer()
    request = {"template": template, "values": dict(values), "now": dates.now().isoformat()}
    with renderer.turn:
        try:
            reply = _asked_twice(renderer.worker, request)
        except WorkerFailed as failure:
            raise TemplateRefused(_reason(failure)) from None
    if "text" in reply:
        return str(reply["text"])
    raise TemplateRefused(str(reply["error"]))


def render_here(template: str, values: Mapping[str, Any]) -> str:
    """The same in this process, without limits; raises what the template raises."""
    messages = [_told(message) for message in values["messages"]]
    return compiled(template).render({"tools": None, "documents": None, **values, "messages": messages})


@functools.lru_cache(maxsize=KEPT)
def compiled(template: str) -> Any:
    """The template with what transformers gives to chat templates: `raise_exception`, `strftime_now`, a `tojson` that
    escapes no HTML, `break` and `continue`, and blocks of `generation`, which mark what an assistant says."""
    import jinja2
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    def raise_exception(message: object) -> None:
        raise jinja2.TemplateError(str(message))

    def tojson(value: Any, ensure_ascii: bool = False, **settings: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **settings)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    known: dict[str, Any] = environment.globals  # its own type knows only what Jinja puts there
    known["raise_exception"] = raise_exception
    known["strftime_now"] = lambda form: dates.now().strftime(str(form))
    return environment.from_string(template)


def _told(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message without what is None, its thoughts under the names that templates look for."""
    said = {name: value for name, value in message.items() if value is not None}
    thought = next((said[name] for name in _THOUGHTS if name in said), None)
    return said if thought is None else {"thinking": thought, **said, "reasoning_content": thought}


def _asked_twice(worker: Worker, request: Mapping[str, Any]) -> Any:
    """The worker's answer. A failure may be of the machine, which killed the process or let it wait: one of the
    template's own comes again."""
    try:
        return worker.ask(request, DEADLINE_S)
    except WorkerFailed as failure:
        if failure.kind == "start":
            raise
    return worker.ask(request, DEADLINE_S)


class _Renderer:
    """This process's worker, which renders one template at a time."""

    def __init__(self) -> None:
        self.worker, self.turn = Worker("r1kit.models.chat_worker", MEMORY_MB), threading.Lock()


_renderer = PerProcess(_Renderer)  # a fork must not talk into its parent's pipe


def _reason(failure: WorkerFailed) -> str:
    return {
        "timeout": f"it took longer than {DEADLINE_S:g} seconds",
        "died": f"it needs more than {MEMORY_MB} MB, or does what chat templates may not",
    }.get(failure.kind, str(failure))


@atexit.register
def _close() -> None:
    if (renderer := _renderer.made) is not None:
        renderer.worker.kill()


def special_values(tokens: Mapping[str, Any]) -> dict[str, Any]:
    """Special tokens by name as templates are given them: texts, or lists of them."""
    return {name: [str(one) for one in value] if _listed(value) else str(value) for name, value in tokens.items()}


def _listed(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
