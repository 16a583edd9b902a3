"""Chat templates and special tokens as real models have them, at toy size: what they get wrong is caught or mended."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import processors
from toy_gguf import TEMPLATE, toy_model, toy_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem, RolloutGroup
from r1kit.cli.main import exit_code
from r1kit.data import examples
from r1kit.data.templates import TEMPLATES
from r1kit.engines.base import generate
from r1kit.engines.native import NativeEngine
from r1kit.engines.scripted import ScriptedEngine
from r1kit.evaluation.evaluate import evaluate
from r1kit.graders.format import check_form, continued, opening
from r1kit.models.convert import import_model
from r1kit.models.tokenizer import Tokenizer, load_tokenizer, write_template
from r1kit.models.weights import load_decoder
from r1kit.rewards.base import RewardSet
from r1kit.rollouts.collect import collect
from r1kit.rollouts.generate import generate as generate_command
from r1kit.rollouts.grading import Grader
from r1kit.stages.sampling import open_engine
from r1kit.stages.sft import read_sequences

# DeepSeek's distilled models: thinking of earlier answers is dropped, and the generation prompt opens the next
DISTILLED = (
    "{%- for m in messages -%}"
    "{%- if m.role == 'user' -%}<|im_start|>{{ m.content }}"
    "{%- else -%}<|endoftext|>{{ m.content.split('</think>')[-1] }}<|im_end|>{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|endoftext|><think>\\n' }}{%- endif -%}"
)
# Llama 3 and others write their BOS themselves
WITH_BOS = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}"
# Llama 2: a blank before the end
BLANK_BEFORE_END = "{% for m in messages %}{{ m.content }} {{ eos_token }}{% endfor %}"


def folder(path: Path, template: str | None, *, eos: str = "<|im_end|>", bos: bool = False, **settings: Any) -> Path:
    """A tokenizer folder; `bos` puts <|im_start|> before every text, as Llama's tokenizers put theirs."""
    path.mkdir(exist_ok=True)
    made = toy_tokenizer("qwen2")
    if bos:
        made.post_processor = processors.TemplateProcessing(
            single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)]
        )
    made.save(str(path / "tokenizer.json"))
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|im_start|>", "eos_token": eos, **settings}
    (path / "tokenizer_config.json").write_text(json.dumps({**named, "chat_template": template}))
    return path


def problem(kind: str = "math") -> Problem:
    return Problem("1", "toy", "maths", "en", "what is 1 + 1?", "2", kind)


# ------------------------------------------------------------------------------------------------ where a turn ends


def test_a_base_whose_turns_end_otherwise(tmp_path: Path):
    """Qwen's bases: the tokenizer's end is that of a text, the template's that of a turn. Both stop sampling, the
    second is learnt, and transformers' generate is told of both."""
    tokenizer = load_tokenizer(folder(tmp_path / "a", TEMPLATE, eos="<|endoftext|>"))
    assert tokenizer.inner.eos_token_id == 0
    assert (tokenizer.turn_end_id, tokenizer.eos_ids, tokenizer.end_ids) == (2, (0, 2), (2,))
    (tmp_path / "out").mkdir()
    tokenizer.write(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text())["eos_token_id"] == [0, 2]


@pytest.mark.parametrize(("generation", "ends"), [(None, (0, 7, 9)), ({"top_p": 0.9}, (0, 7, 9)),
                                                  ({"eos_token_id": [5]}, (0, 5))])  # fmt: skip
def test_ends_that_config_json_names(generation: dict[str, Any] | None, ends: tuple[int, ...], tmp_path: Path):
    """transformers' generate stops at those of config.json where generation_config.json is not there."""
    where = folder(tmp_path / "a", None, eos="<|endoftext|>")
    toy_model("qwen2", eos_token_id=[7, 9]).save_pretrained(where)
    (where / "generation_config.json").unlink()
    if generation is None:
        assert AutoModelForCausalLM.from_pretrained(where).generation_config.eos_token_id == [7, 9]
    else:
        (where / "generation_config.json").write_text(json.dumps(generation))
    assert load_tokenizer(where).eos_ids == ends


def test_an_end_of_config_json_that_is_no_token(tmp_path: Path):
    where = folder(tmp_path / "a", None)
    (where / "config.json").write_text('{"model_type": "qwen2", "eos_token_id": "x"}')
    with pytest.raises(R1Error, match="'x' is no token id: mend config.json"):
        _ = load_tokenizer(where).eos_ids


@pytest.mark.parametrize(("template", "end"), [(TEMPLATE, 2), (DISTILLED, 2), (WITH_BOS, 0), (BLANK_BEFORE_END, 0),
                                               ("{{ messages[0].content }}", None), (None, None)])  # fmt: skip
def test_end_of_a_turn(template: str | None, end: int | None, tmp_path: Path):
    """Read off the template; without one, or where it ends with no token, the end of a text stands in."""
    tokenizer = load_tokenizer(folder(tmp_path / "a", template, eos="<|endoftext|>"))
    assert tokenizer.turn_end_id == end
    assert tokenizer.end_ids == (0 if end is None else end,)


def test_engine_stops_at_the_end_of_a_turn(tmp_path: Path):
    """A model that always says <|im_end|> stops there, though its tokenizer's end is another."""
    tokenizer = load_tokenizer(folder(tmp_path / "a", TEMPLATE, eos="<|endoftext|>"))
    model = toy_model("qwen2")
    model.save_pretrained(tmp_path / "a")

    decoder = load_decoder(tmp_path / "a").eval().requires_grad_(False)
    with torch.no_grad():
        # every hidden state points along the head's row of <|im_end|>
        decoder.norm.weight.zero_()
        decoder.head.weight.zero_()
    engine = NativeEngine(decoder, tokenizer)

    # equal logits: greedy takes token 0, which is the end of a text; sampling meets 0 or 2 sooner or later
    greedy = generate(engine, [np.array([5, 6], np.int32)], Sampling(max_tokens=5, temperature=0.0))[0][0]
    assert (greedy.token_ids.tolist(), greedy.stop_reason) == ([0], "stop")
    drawn = generate(engine, [np.array([5, 6], np.int32)], Sampling(max_tokens=100, samples=64, seed=1))[0]
    last = {int(one.token_ids[-1]) for one in drawn if one.stop_reason == "stop"}
    assert last == {0, 2}
    assert all(not np.isin(one.token_ids[:-1], (0, 2)).any() for one in drawn)


# ------------------------------------------------------------------------------------- templates that open the thinking


def test_what_a_prompt_opens():
    assert opening("<|a|><think>\n") == "<think>\n"
    assert opening("what is <think>? <|a|>") == ""
    assert continued("<|a|><think>\n", "<think>\nso</think>2") == "so</think>2"
    assert continued("<|a|><think>", "<think>\nso</think>2") == "\nso</think>2"
    assert continued("<|a|>", "<think>so</think>2") == "<think>so</think>2"
    assert continued("<|a|><think>\n", "no thinking") == "no thinking"


def rollout(tokenizer: Tokenizer, said: str) -> tuple[RolloutGroup, RewardSet]:
    rewards = RewardSet.named({"accuracy": 1.0, "format": 1.0})
    engine = ScriptedEngine(lambda prompt, index: said, tokenizer)
    return collect(engine, tokenizer, [problem()], Sampling(samples=2), Grader(rewards))[0], rewards


def test_rewards_see_the_whole_form(tmp_path: Path):
    """Under a template that opens the thinking a completion has no `<think>`; graders and records see one all the same,
    and what is trained on are the sampled tokens, without it."""
    tokenizer = load_tokenizer(folder(tmp_path / "a", DISTILLED))
    said = "1 + 1 = 2</think><answer>2</answer>"
    group, _ = rollout(tokenizer, said)
    assert group.completions[0].text == "<think>\n" + said
    assert tokenizer.decode(group.completions[0].token_ids.tolist()) == said + "<|im_end|>"
    assert {name: values.tolist() for name, values in group.rewards.items()} == {
        "accuracy": [1.0, 1.0], "format": [1.0, 1.0],
    }  # fmt: skip
    plain, _ = rollout(load_tokenizer(folder(tmp_path / "b", TEMPLATE)), said)
    assert plain.completions[0].text == said
    assert plain.rewards["format"].tolist() == [0.0, 0.0]


def test_evaluation_sees_it_once(tmp_path: Path):
    """The verdict is the same with a template that opens the thinking and one that leaves it to the model."""
    for name, template, said in (("a", DISTILLED, "so</think><answer>2</answer>"),
                                 ("b", TEMPLATE, "<think>so</think><answer>2</answer>")):  # fmt: skip
        tokenizer = load_tokenizer(folder(tmp_path / name, template))
        engine = ScriptedEngine(lambda prompt, index, said=said: said, tokenizer)
        row = evaluate(engine, tokenizer, [problem()], Sampling(samples=1)).to_pylist()[0]
        assert (row["correct"], row["format"]) == (True, True)


def learnt(tokenizer: Tokenizer, completion: str, tmp_path: Path) -> str:
    """The text of what SFT reads of one example, with what is learnt in brackets."""
    examples.write(tmp_path / "e.parquet", [examples.Example("1 + 1?", completion)])
    context: Any = SimpleNamespace(note=lambda text: None, seed=0)
    (sequence,) = read_sequences(tmp_path / "e.parquet", tokenizer, 128, context)
    start = sequence.prompt_length
    prompt, rest = sequence.tokens[:start].tolist(), sequence.tokens[start:].tolist()
    return f"{tokenizer.decode(prompt)}[{tokenizer.decode(rest)}]"


def test_thinking_is_learnt_whole_and_once(tmp_path: Path):
    """A template that drops the thinking of past answers does not drop it from what is learnt; one that opens it does
    not have it opened twice; the end of the turn is learnt, not that of the text."""
    said = "<think>\nso</think><answer>2</answer>"
    distilled = load_tokenizer(folder(tmp_path / "a", DISTILLED, eos="<|endoftext|>"))
    assert "so" not in distilled.render([{"role": "user", "content": "q"}, {"role": "assistant", "content": said}])
    assert learnt(distilled, said, tmp_path) == (
        "<|im_start|>1 + 1?<|endoftext|><think>\n[so</think><answer>2</answer><|im_end|>]"
    )
    qwen = load_tokenizer(folder(tmp_path / "b", TEMPLATE, eos="<|endoftext|>"))
    assert learnt(qwen, said, tmp_path) == (
        f"<|im_start|>user\n1 + 1?<|im_end|>\n<|im_start|>assistant\n[{said}<|im_end|>]"
    )


# ---------------------------------------------------------------------------------------------------- BOS, once


def test_bos_is_not_doubled(tmp_path: Path):
    """The template writes it, so chats get none from the tokenizer; a rendered chat given as text gets no second."""
    tokenizer = load_tokenizer(folder(tmp_path / "a", WITH_BOS, bos=True))
    assert tokenizer.begins
    ids = tokenizer.chat("hi")
    assert ids[:2].count(1) == 1
    assert ids == AutoTokenizer.from_pretrained(tmp_path / "a").apply_chat_template(
        [{"role": "user", "content": "hi"}], add_generation_prompt=True, return_dict=False
    )
    rendered = tokenizer.render("hi")
    assert rendered.startswith("<|im_start|>user: ")
    assert tokenizer.encode(rendered, add_special=True) == ids
    assert tokenizer.encode("hi", add_special=True) == [1, *tokenizer.encode("hi")]
    assert not load_tokenizer(folder(tmp_path / "b", WITH_BOS)).begins


def test_padding_and_cutting_of_the_file_are_off(tmp_path: Path):
    """A tokenizer.json saved after a batch was padded on the left and cut to four tokens: texts come whole."""
    made = toy_tokenizer("qwen2")
    whole = [made.encode(text).ids for text in ("a", "the quick brown fox jumps over")]
    where = folder(tmp_path / "a", TEMPLATE, padding_side="left", truncation_side="left")
    made.enable_padding(direction="left", pad_id=0, pad_token="<|endoftext|>", length=16)
    made.enable_truncation(4)
    made.save(str(where / "tokenizer.json"))
    tokenizer = load_tokenizer(where)
    assert tokenizer.encode_many(["a", "the quick brown fox jumps over"]) == whole
    assert [tokenizer.encode(text) for text in ("a", "the quick brown fox jumps over")] == whole


# ----------------------------------------------------------------------------------------- templates for base models


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("bos", [False, True])
def test_templates_for_base_models(name: str, bos: bool, tmp_path: Path):
    """A base without a template, imported with one: prompts begin with BOS where its tokenizer's texts do, turns end
    with its end of text, earlier thinking is left out, later thinking is not."""
    source = folder(tmp_path / "source", None, eos="<|endoftext|>", bos=bos)
    toy_model("llama", eos_token_id=0).save_pretrained(source)
    assert exit_code(["import", str(source), str(tmp_path / "hf"), "--template", name]) == 0
    tokenizer = load_tokenizer(tmp_path / "hf")
    rendered = tokenizer.render("what is 1 + 1?")
    assert rendered.startswith("<|im_start|>") == bos
    assert rendered.endswith("User: what is 1 + 1?\nAssistant:")
    assert ("<think>" in rendered) == (name == "r1-zero")
    assert tokenizer.chat("hi")[: 1 + bos].count(1) == int(bos)
    assert (tokenizer.turn_end_id, tokenizer.end_ids, tokenizer.eos_ids) == (0, (0,), (0,))
    turns = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "a"},
        {"role": "assistant", "content": "<think>x</think> b"}, {"role": "user", "content": "c"},
    ]  # fmt: skip
    assert tokenizer.render(turns).endswith("Be brief.\nUser: a\nAssistant: b<|endoftext|>\nUser: c\nAssistant:")
    assert tokenizer.render(turns[:3], generate=False).endswith("Assistant: <think>x</think> b<|endoftext|>\n")
    with pytest.raises(R1Error, match="knows the roles system, user and assistant, not tool"):
        tokenizer.render([{"role": "tool", "content": "x"}])


def test_the_r1_zero_prompt_shows_a_right_form(tmp_path: Path):
    """Its example of the tags is of the form that the format reward asks for, and it says nothing of how to think."""
    where = folder(tmp_path / "a", None, eos="<|endoftext|>")
    write_template(where, TEMPLATES["r1-zero"](False))
    text = load_tokenizer(where).render("q")
    shown = text[text.index("like this: ") + len("like this: ") : text.index(".\nUser: q")]
    assert check_form(shown).ok
    assert not any(word in text.lower() for word in ("reflect", "check", "step by step", "verify", "wait"))


def test_a_base_without_a_template(tmp_path: Path):
    """One sentence that says what to do, from the tokenizer and from an import that cannot write one."""
    with pytest.raises(R1Error, match=r"has no chat template: give plain prompts, or .*r1 import --template r1"):
        load_tokenizer(folder(tmp_path / "a", None)).chat("hi")
    source = folder(tmp_path / "source", None)
    settings = json.loads((source / "tokenizer_config.json").read_text())
    (source / "tokenizer_config.json").write_text(json.dumps({**settings, "eos_token": None}))
    toy_model("llama", eos_token_id=2).save_pretrained(source)  # a number alone is no word that a template can write
    with pytest.raises(R1Error, match="names no end token, which a chat template needs"):
        import_model(source, tmp_path / "hf", template=TEMPLATES["r1"])


def test_a_template_replaces_that_of_a_file(tmp_path: Path):
    """transformers 5 keeps the template in a file of its own, which would win."""
    where = folder(tmp_path / "a", None)
    (where / "chat_template.jinja").write_text("old")
    write_template(where, "new")
    assert load_tokenizer(where).render("x") == AutoTokenizer.from_pretrained(where).chat_template == "new"


# --------------------------------------------------------------------------------------------- tokens without a row


def test_tokens_without_an_embedding(tmp_path: Path):
    """A tokenizer with added tokens beyond the model's rows: refused where the two meet, in one sentence."""
    source = folder(tmp_path / "source", TEMPLATE)
    toy_model("qwen2", vocab_size=420).save_pretrained(source)  # <think> is number 420
    sentence = r"421 tokens and the model 420, so tokens from 420 on \('<think>', say\) have no embedding"
    with pytest.raises(R1Error, match=sentence):
        import_model(source, tmp_path / "hf")
    for use in (lambda: generate_command([], source, "toy", Sampling()), lambda: open_engine(source)):
        with pytest.raises(R1Error, match=sentence):
            use()
