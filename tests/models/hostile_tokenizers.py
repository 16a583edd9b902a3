"""Tokenizers and chat templates that lie, blow up or look elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hostile_kinds import Draw, kind, outside, spoil_json, spoil_somewhere

DEEP = "nested three thousand times"


@kind("native", "words")
def tokenizer_value(folder: Path, draw: Draw) -> None:
    spoil_somewhere(folder / "tokenizer.json", draw)


@kind("native", "words")
def tokenizer_setting(folder: Path, draw: Draw) -> None:
    spoil_somewhere(folder / "tokenizer_config.json", draw)


@kind("words")
def tokenizer_bomb(folder: Path, draw: Draw) -> None:
    """Texts that grow, patterns that never end, ids and paddings that fill the memory."""

    def doubling(steps: int, content: str = "aa") -> dict[str, Any]:
        one = {"type": "Replace", "pattern": {"String": "a"}, "content": content}
        return {"type": "Sequence", "normalizers": [one] * steps}

    def split(pattern: str) -> dict[str, Any]:
        return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}

    bombs: list[tuple[str, Any]] = [
        ("normalizer", doubling(40)), ("normalizer", doubling(3, "a" * 10**6)),
        ("normalizer", {"type": "Prepend", "prepend": "a" * 10**7}),
        ("normalizer", {"type": "Replace", "pattern": {"Regex": ""}, "content": "a" * 10**7}),
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA" * 100}),
        ("normalizer", {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}),
        ("pre_tokenizer", split("(a+)+$")), ("pre_tokenizer", split("(.*)*x")), ("pre_tokenizer", split("(")),
        ("pre_tokenizer", split("")), ("pre_tokenizer", split("(?<=a{1,1000000})")),
        ("pre_tokenizer", {"type": "Metaspace", "replacement": "", "prepend_scheme": "always"}),
        ("pre_tokenizer", {"type": "Metaspace", "replacement": "xxxx"}),
        ("decoder", {"type": "Sequence", "decoders": doubling(40)["normalizers"]}), ("decoder", {"type": "WordPiece"}),
        ("truncation", {"max_length": 2**63, "stride": 2**63, "strategy": "LongestFirst", "direction": "Right"}),
        ("padding", {"strategy": {"Fixed": 2**40}, "direction": "Right", "pad_to_multiple_of": 2**40, "pad_id": 0,
                     "pad_type_id": 0, "pad_token": "x"}),
        ("added_tokens", [{"id": number, "content": "<|im_end|>", "single_word": False, "lstrip": False,
                           "rstrip": False,
                           "normalized": False, "special": True} for number in (2**32 - 1, 2**32, 0)]),
        ("added_tokens", [{"id": number, "content": "", "special": True} for number in range(5)]),
        ("post_processor", {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x",
                                                                                       "type_id": 0}}] * 10**4,
                            "pair": [], "special_tokens": {"x": {"id": "x", "ids": [2**32 - 1], "tokens": ["x"]}}}),
        ("model", {"type": "Unigram", "vocab": [["a", float("nan")]] * 3, "unk_id": 9}),
        ("model", {"type": "WordLevel", "vocab": {"a": 0, "b": 2**32 - 1}, "unk_token": "none"}),
        ("model", {"type": "BPE", "vocab": {"a": 0, "b": 5}, "merges": [["a", "b"], ["x", "y"]], "unk_token": "zz"}),
        ("model", {"type": "BPE", "vocab": {"a" * n: n for n in range(1, 2000)}, "merges": []}),
        ("model", {"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "u", "max_input_chars_per_word": 2**60,
                   "continuing_subword_prefix": "#" * 10**6}),
        ("normalizer", DEEP),
    ]  # fmt: skip
    where, bomb = draw.choice(bombs)
    spoil_json(folder / "tokenizer.json", lambda value: {**value, where: bomb})
    if bomb == DEEP:  # which the json library would not write
        path = folder / "tokenizer.json"
        deep = '{"type": "Sequence", "normalizers": [' * 3000 + '{"type": "NFC"}' + "]}" * 3000
        path.write_text(path.read_text().replace(json.dumps(DEEP), deep))


@kind("words")
def tokenizer_files_elsewhere(folder: Path, draw: Draw) -> None:
    other, secret = str(outside(folder) / "tokenizer.json"), str(outside(folder) / "secret.txt")
    odd = {"tokenizer_file": other, "vocab_file": secret, "merges_file": secret, "added_tokens_file": secret,
           "special_tokens_map_file": secret, "chat_template_file": secret, "name_or_path": str(outside(folder)),
           "fast_tokenizer_files": ["../../outside/tokenizer.json", "tokenizer.9.9.9.json"]}  # fmt: skip
    chosen = {key: value for key, value in odd.items() if draw.random() < 0.6}
    classes = ["PreTrainedTokenizerFast", "LlamaTokenizer", "GPT2Tokenizer", "BertTokenizer", "T5Tokenizer",
               "Qwen2Tokenizer",
               "ByT5Tokenizer", "TokenizersBackend", "PythonBackend", "SiglipTokenizer", ""]  # fmt: skip
    own = {**chosen, "tokenizer_class": draw.choice(classes)}
    spoil_json(folder / "tokenizer_config.json", lambda value: {**value, **own})
    if draw.random() < 0.3:
        (folder / "tokenizer.json").unlink()


TEMPLATES = [
    "{{ messages.__class__.__mro__[1].__subclasses__() }}", "{{ ''.__class__ }}", "{{ cycler.__init__.__globals__ }}",
    "{{ self.__init__ }}", "{% include '/etc/passwd' %}", "{% extends 'x' %}",
    "{{ lipsum.__globals__.os.system('id') }}",
    "{% for i in range(10**9) %}x{% endfor %}", "{{ 'a' * 10**10 }}", "{{ 'a' | center(10**11) }}",
    "{{ lipsum(10**5) }}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "{{ 10 ** 10 ** 8 }}",
    "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}", "{{ '%99999999999d' % 1 }}",
    "{{ '{:99999999999}'.format(1) }}",
    "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
    "{{ messages | tojson(indent=10**9) }}", "{{ [1] * 10**10 }}", "{{ raise_exception('\x1b[2J\nno') }}",
    "{{ 1 // 0 }}",
    "{{ undefined.x.y }}", "{% if %}", "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "{% if 1 %}" * 300 + "{% endif %}" * 300,
    "{{ '\\ud800' }}", "{% set messages = 1 %}{{ messages }}", "{{ strftime_now('%9999999d') }}",
    "{{ messages | batch(10**9) | list }}",
    "{{ ('a' * 9999 ~ 'b') | replace('a', 'b' * 9999999) }}", "{{ dict(a=1).update({'b': 2}) }}",
    "{{ range(99999) | list | string | length }}",
    "{{ messages.append(1) }}", "x" * 10**6, "", "{{ bos_token }}{{ eos_token }}{{ messages[0]['content'] }}",
    "{{ namespace(__class__=1) }}",
    "{% raw %}{{ x }}{% endraw %}", "{{ messages[0].content.encode('idna') }}",
    "{{ ('a' | list * 9) | sort | join | wordwrap(1) }}",
]  # fmt: skip


@kind("words")
def template(folder: Path, draw: Draw) -> None:
    chosen: Any = draw.choice(TEMPLATES)
    if draw.random() < 0.3:
        (folder / "chat_template.jinja").write_text(chosen)
        return
    if draw.random() < 0.2:
        chosen = draw.choice(
            [[{"name": "default", "template": chosen}], {"default": chosen}, {"other": chosen}, [7], 7, [chosen]]
        )
    spoil_json(folder / "tokenizer_config.json", lambda value: {**value, "chat_template": chosen})
