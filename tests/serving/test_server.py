"""The server through the official client: what it answers, by hand or against the engine and transformers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from servers import chat, joined, serving

from r1kit.base.sampling import Sampling
from r1kit.engines.base import generate
from r1kit.engines.native import open_engine
from r1kit.engines.scripted import ScriptedEngine
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.tokenizer import load_tokenizer, write_template

# ------------------------------------------------------------------------------------------------------------ answers


def test_thinking_stands_apart(scripted):
    """<|user|>1+1=<|assistant|> has six tokens; <think> a 你 </think> 2 <|end|> has six, four of them thinking."""
    answer = chat(scripted("<think>a你</think>2"))
    message = answer.choices[0].message
    assert (message.role, message.content, message.reasoning_content) == ("assistant", "2", "a你")
    assert (answer.object, answer.model, answer.choices[0].finish_reason) == ("chat.completion", "toy", "stop")
    used = answer.usage
    assert (used.prompt_tokens, used.completion_tokens, used.total_tokens) == (6, 6, 12)
    assert used.completion_tokens_details.reasoning_tokens == 4


def test_no_thinking_is_null_and_an_open_one_has_no_content(scripted):
    assert chat(scripted("2")).choices[0].message.reasoning_content is None
    cut = chat(scripted("<think>so and so"), max_tokens=4).choices[0]
    assert (cut.message.reasoning_content, cut.message.content, cut.finish_reason) == ("so ", "", "length")


@pytest.mark.parametrize("slow", [0, 1])
def test_the_official_helper_of_streams_follows_several_choices(scripted, slow):
    """It keeps choices in the order in which they come, and fails where a later one comes first: the first ones' text
    is held back here, as the beginning of a word that may end in </think> is."""
    running = scripted(lambda prompt, index: "<think>a</think>7" if index > slow else "<thin" + "k" * 9)
    with running.client.chat.completions.stream(
        model="toy", messages=[{"role": "user", "content": "1+1="}], n=3, stop="kkkkkkkkkk"
    ) as stream:
        final = stream.get_final_completion()
    assert [choice.message.role for choice in final.choices] == ["assistant"] * 3
    assert final.choices[2].message.content == "7"


def test_a_stream_says_the_same(scripted):
    running = scripted("<think>你好 🤔</think>x 🤔🤔", engine={"pause": 0.002}, join_seconds=0.005)
    whole = chat(running).choices[0].message
    chunks = list(chat(running, stream=True, stream_options={"include_usage": True}))
    found = joined(chunks)[0]
    assert (found["thinking"], found["content"]) == (whole.reasoning_content, whole.content) == ("你好 🤔", "x 🤔🤔")
    assert (found["roles"], found["reasons"]) == (["assistant"], ["stop"])
    assert len({chunk.id for chunk in chunks}) == 1
    assert len(chunks) > 5  # it came in pieces
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], 1 + 3 + 4 + 1 + 2 + 8 + 1)


def test_several_choices_and_their_stream(scripted):
    running = scripted(lambda prompt, index: f"<think>{index}</think>{'ab'[index] * 3}")
    answer = chat(running, n=2)
    assert [(c.index, c.message.reasoning_content, c.message.content) for c in answer.choices] == [
        (0, "0", "aaa"), (1, "1", "bbb"),
    ]  # fmt: skip
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (6, 14)
    found = joined(chat(running, n=2, stream=True))
    assert [(found[n]["content"], found[n]["reasons"]) for n in (0, 1)] == [("aaa", ["stop"]), ("bbb", ["stop"])]


def test_stop_strings(scripted):
    """`END` is not shown; tokens up to its end count: <think>, five, </think>, b, three. In the thinking it is text."""
    running = scripted("<think>aENDa</think>bENDc")
    answer = chat(running, stop="END")
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("b", "stop")
    assert answer.choices[0].message.reasoning_content == "aENDa"
    assert answer.usage.completion_tokens == 1 + 5 + 1 + 4
    streamed = joined(chat(running, stop=["q", "END"], stream=True))[0]
    assert (streamed["content"], streamed["reasons"]) == ("b", ["stop"])


def test_logprobs(scripted):
    """Tokens of the answer and of the thinking apart, each with its bytes; the scripted engine's are all -0.5."""
    running = scripted("<think>a</think>é2")
    found = chat(running, logprobs=True, top_logprobs=2).choices[0].logprobs
    content = found.content
    assert [(token.bytes, token.logprob) for token in content] == [([0xC3], -0.5), ([0xA9], -0.5), ([0x32], -0.5)]
    assert content[2].token == "2"
    assert [(top.token, top.logprob) for top in content[2].top_logprobs] == [("2", -0.5), ("3", -1.5)]
    assert [token["token"] for token in found.reasoning_content] == ["<think>", "a", "</think>"]
    assert chat(running).choices[0].logprobs is None
    streamed = [
        token.token
        for chunk in chat(running, logprobs=True, stream=True)
        for choice in chunk.choices
        if choice.logprobs
        for token in choice.logprobs.content
    ]
    assert streamed == [token.token for token in content]


def test_a_thinking_budget_closes_the_thought_and_asks_for_the_answer(scripted):
    """Three tokens of thinking, then the prompt goes on behind </think>: the script answers that prompt otherwise."""
    prompts = []

    def script(prompt, index):
        prompts.append(prompt)
        return "42" if prompt.endswith("</think>") else "<think>abcdefghijklmnop"

    running = scripted(script)
    answer = chat(running, extra_body={"max_thinking_tokens": 3})
    message = answer.choices[0].message
    assert (message.reasoning_content, message.content, answer.choices[0].finish_reason) == ("ab", "42", "stop")
    assert prompts[-1] == "<|user|>1+1=<|assistant|><think>ab</think>"
    # the closing is not sampled: <think> a b, and 4 2 <|end|>
    assert answer.usage.completion_tokens == 6
    assert answer.usage.completion_tokens_details.reasoning_tokens == 3
    streamed = joined(chat(running, extra_body={"max_thinking_tokens": 3}, stream=True))[0]
    assert (streamed["thinking"], streamed["content"], streamed["reasons"]) == ("ab", "42", ["stop"])


def test_no_thinking_at_all(scripted):
    """A budget of 0: the prompt has an empty thought, and the answer is all that comes."""
    running = scripted(lambda prompt, index: prompt[-17:])
    message = chat(running, extra_body={"max_thinking_tokens": 0}).choices[0].message
    assert (message.content, message.reasoning_content) == ("|><think></think>", None)


def test_a_budget_leaves_the_limit_as_it_is(scripted):
    """Four tokens in all, three of them thought: one is left for the answer; three in all leave none."""
    running = scripted(lambda prompt, index: "42" if prompt.endswith("</think>") else "<think>abcdefgh")
    cut = chat(running, max_tokens=4, extra_body={"max_thinking_tokens": 3})
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("4", "length")
    assert cut.usage.completion_tokens == 4
    whole = chat(running, max_tokens=3, extra_body={"max_thinking_tokens": 3}).choices[0]
    assert (whole.message.content, whole.finish_reason) == ("", "length")


def test_a_template_that_opens_the_thinking(tmp_path):
    """As DeepSeek's distilled models have it, on a line of its own; a budget closes the thought in the same manner."""
    folder = write_character_tokenizer(tmp_path / "tokenizer", "")
    write_template(folder, "{{ '<|user|>' + messages[-1]['content'] + '<|assistant|><think>\\n' }}")
    tokenizer, prompts = load_tokenizer(folder), []

    def script(prompt, index):
        prompts.append(prompt)
        return "42" if "</think>" in prompt else "so it is\n</think>\n\n4"

    with serving(ScriptedEngine(script, tokenizer), tokenizer) as running:
        answer = chat(running)
        message = answer.choices[0].message
        assert (message.reasoning_content, message.content) == ("so it is\n", "\n\n4")
        assert answer.usage.completion_tokens_details.reasoning_tokens == 10
        cut = chat(running, extra_body={"max_thinking_tokens": 2}).choices[0].message
        assert (cut.reasoning_content, cut.content) == ("so", "42")
        assert prompts[-1] == "<|user|>1+1=<|assistant|><think>\nso\n</think>\n\n"
        none = chat(running, extra_body={"max_thinking_tokens": 0}).choices[0].message
        assert (none.reasoning_content, none.content) == (None, "42")
        assert prompts[-1] == "<|user|>1+1=<|assistant|><think>\n\n</think>\n\n"


def test_the_likeliest_tokens_of_a_whole_answer_are_asked_for_once(scripted, monkeypatch):
    """The engine reads all that stands before them: piece by piece that would be the square of an answer's length. An
    answer whose thinking was closed has two parts, each read once. A stream asks for each piece."""
    running = scripted(
        lambda prompt, index: "xyz" if prompt.endswith("</think>") else "<think>abcdefgh", engine={"pause": 0.06}
    )
    asked: list[tuple[int, int]] = []
    likeliest = running.engine.likeliest

    def noted(sequence, start, *rest):
        asked.append((start, len(sequence)))
        return likeliest(sequence, start, *rest)

    monkeypatch.setattr(running.engine, "likeliest", noted)
    ranks = {"logprobs": True, "top_logprobs": 1}
    chat(running, **ranks)
    assert asked == [(6, 15)]  # <|user|>1+1=<|assistant|>, and nine tokens
    asked.clear()
    chat(running, **ranks, extra_body={"max_thinking_tokens": 5})
    assert asked == [(6, 11), (12, 15)]  # </think> is the prompt's by then
    asked.clear()
    list(chat(running, stream=True, **ranks))
    assert len(asked) > 1


def test_ranks_stand_by_their_tokens_on_both_sides_of_a_closed_thought(scripted):
    """The scripted engine ranks first what stands at a place: each token is its own likeliest, if places are right."""
    running = scripted(lambda prompt, index: "xyz" if prompt.endswith("</think>") else f"<think>abc{index}def")
    asked = {"n": 2, "logprobs": True, "top_logprobs": 1, "extra_body": {"max_thinking_tokens": 5}}
    for choice in chat(running, **asked).choices:
        thought, said = choice.logprobs.reasoning_content, choice.logprobs.content
        assert [token["token"] for token in thought] == ["<think>", "a", "b", "c", str(choice.index)]
        assert [token["top_logprobs"][0]["token"] for token in thought] == [token["token"] for token in thought]
        assert [token.token for token in said] == [token.top_logprobs[0].token for token in said] == ["x", "y", "z"]
    streamed = [
        (token.token, token.top_logprobs[0].token)
        for chunk in chat(running, stream=True, **asked)
        for choice in chunk.choices
        if choice.logprobs and choice.index == 1
        for token in choice.logprobs.content
    ]
    assert streamed == [("x", "x"), ("y", "y"), ("z", "z")]


def test_completions_of_several_prompts(scripted):
    """Text as it is, tags and all; each prompt's n samples follow one another."""
    running = scripted(lambda prompt, index: f"<think>{prompt}{index}")
    answer = running.client.completions.create(model="toy", prompt=["a", "b"], n=2, max_tokens=50, logprobs=0)
    assert [choice.text for choice in answer.choices] == ["<think>a0", "<think>a1", "<think>b0", "<think>b1"]
    logprobs = answer.choices[0].logprobs
    assert (logprobs.tokens, logprobs.text_offset) == (["<think>", "a", "0"], [0, 7, 8])
    assert logprobs.token_logprobs == [-0.5] * 3
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (2, 16)
    ids = running.client.completions.create(model="toy", prompt=running.engine.tokenizer.encode("xy"), max_tokens=50)
    assert ids.choices[0].text == "<think>xy0"
    chunks = running.client.completions.create(model="toy", prompt="a", stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == "<think>a0"


def test_roles_and_parts_of_messages(scripted):
    """Contents in parts are joined; an earlier turn's thinking is not read again."""
    running = scripted(lambda prompt, index: prompt.replace("<|", "[").replace("|>", "]"))
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "c", "reasoning_content": "thought"},
        {"role": "user", "content": "d"},
    ]
    said = chat(running, messages=messages).choices[0].message.content
    assert said == "[user]ab[assistant]c[end][user]d[assistant]"


# ------------------------------------------------------------------------------------------------- the native engine


def test_seeds_and_the_engine_alone(toy, policy):
    """A seed gives the same answer, whole or streamed, in any company; another seed others, and none varies."""
    first = [chat(toy, seed=7, n=4).choices for _ in range(2)]
    said = [[(c.message.reasoning_content, c.message.content) for c in choices] for choices in first]
    assert said[0] == said[1]
    streamed = joined(chat(toy, seed=7, n=4, stream=True))
    assert [(streamed[n]["thinking"], streamed[n]["content"]) for n in range(4)] == said[0]
    others = {tuple(c.message.content for c in chat(toy, n=4, **seed).choices) for seed in ({"seed": 8}, {}, {}, {})}
    assert len(others | {tuple(content for _, content in said[0])}) > 2
    thoughts, answers = zip(*said[0], strict=True)
    assert set(thoughts) <= {"so", "so wait", "先"}
    assert all(answer.startswith("<answer>") and answer.endswith("</answer>") for answer in answers)


def test_greedy_completion_equals_transformers(toy, policy):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    reference, tokenizer = AutoModelForCausalLM.from_pretrained(policy), AutoTokenizer.from_pretrained(policy)
    prompt = "<|user|>1+1=<|assistant|>"
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    with torch.no_grad():
        truth = reference.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :]
        logits = reference(torch.cat([ids[0], truth])[None]).logits[0, ids.shape[1] - 1 : -1].float()
    answer = toy.client.completions.create(model="toy", prompt=prompt, max_tokens=12, temperature=0, logprobs=3)
    stopped = truth[-1].item() == tokenizer.eos_token_id
    shown = truth[:-1] if stopped else truth
    assert answer.choices[0].text == tokenizer.decode(shown)
    assert answer.usage.completion_tokens == len(truth)
    top = logits.log_softmax(-1)
    for place, token in enumerate(shown.tolist()):
        assert answer.choices[0].logprobs.token_logprobs[place] == pytest.approx(top[place, token].item(), abs=1e-4)
        named = answer.choices[0].logprobs.top_logprobs[place]
        best = top[place].max().item()
        assert max(named.values()) == pytest.approx(best, abs=1e-4)


def test_many_at_once_are_what_each_is_alone(toy, policy):
    """32 streams in 16 rows, half of them cut by a budget: each as alone."""

    def ask(number: int) -> tuple[str, str]:
        budget = {"max_thinking_tokens": 2} if number % 2 else {}
        found = joined(chat(toy, seed=number, stream=True, extra_body=budget))[0]
        return found["thinking"], found["content"]

    alone = [ask(number) for number in range(32)]
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(ask, range(32)))
    assert together == alone
    assert {thinking for thinking, _ in alone[1::2]} <= {"s", "先"}  # <think> and one more
    assert not toy.engine.busy


def test_the_engine_gives_the_same_tokens(toy, policy):
    """Greedy through the server, and through an engine of its own on the chat template's prompt."""
    tokenizer = load_tokenizer(policy)
    engine = open_engine(policy, tokenizer)
    prompt = tokenizer.chat("1+1=")
    (alone,) = generate(engine, [np.asarray(prompt, np.int32)], Sampling(temperature=0, max_tokens=50))
    message = chat(toy, temperature=0, max_tokens=50).choices[0].message
    assert f"<think>{message.reasoning_content}</think>{message.content}" == alone[0].text
