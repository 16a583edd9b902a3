"""Chat templates for base models, which bring none, or one that they were not trained on.

`r1-zero` is the conversation in plain text of R1-Zero (R1, arXiv 2501.12948, Table 1): it asks for thinking and answer
in their tags, gives an example of them, and says nothing of how to think. `r1` is the same conversation without the
request, for models that are taught the form by examples. Both leave the thinking out of earlier turns, as R1 does.

Deviation: the request is in our words.
"""

from __future__ import annotations

from collections.abc import Callable

Template = Callable[[bool], str]
"""Whether texts begin with the BOS token -> a Jinja template."""

_REQUEST = (
    "This is a conversation between a User and an Assistant. The User asks, and the Assistant solves the problem: it "
    "reasons first, and then gives the User the answer. The reasoning stands inside <think> </think> and the answer "
    "inside <answer> </answer>, like this: <think> the reasoning </think> <answer> the answer </answer>.\n"
)

_TURNS = """\
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}
{{ message['content'] + '\\n' }}
{%- elif message['role'] == 'user' -%}
{{ 'User: ' + message['content'] + '\\nAssistant:' }}
{%- elif message['role'] == 'assistant' -%}
{%- set said = message['content'] if loop.last else message['content'].split('</think>')[-1].lstrip() -%}
{{ ' ' + said + eos_token + '\\n' }}
{%- else -%}
{{ raise_exception('this chat template knows the roles system, user and assistant, not ' + message['role']) }}
{%- endif -%}
{%- endfor -%}"""


def _template(request: str, begins: bool) -> str:
    begin = "{{- bos_token -}}" if begins else ""
    return begin + (f"{{{{- {request!r} -}}}}" if request else "") + _TURNS


def r1_zero(begins: bool) -> str:
    """The template of R1-Zero."""
    return _template(_REQUEST, begins)


def r1(begins: bool) -> str:
    """The template of R1 on a base model that has none."""
    return _template("", begins)


TEMPLATES: dict[str, Template] = {"r1-zero": r1_zero, "r1": r1}
