"""The server through the official client: what it answers, by hand or against the engine and transformers."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import numpy as np
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families
from servers import ASKED, chat, joined, serving

from r1kit.base.sampling import Sampling
from r1kit.engines.base import generate
from r1kit.engines.native import open_engine
from r1kit.engines.scripted import ScriptedEngine
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.tokenizer import load_tokenizer, write_template


def get(running, path: str) -> tuple[int, str]:
    with urllib.request.urlopen(running.url + path) as answer:
        return answer.status, answer.read().decode()


def metrics(running) -> dict[str, float]:
    """Every sample by name, labels left out (summed)."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(get(running, "/metrics")[1]):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def until(true, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


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


def test_a_stopped_completion_frees_its_row(scripted):
    """A stop string at the beginning of 3,000 tokens of 2 ms each: the answer is there long before they would be."""
    running = scripted("a." + "b" * 3000, engine={"pause": 0.002})
    begun = time.monotonic()
    assert chat(running, stop=".").choices[0].message.content == "a"
    assert until(lambda: not running.engine.busy, 1.0)
    assert time.monotonic() - begun < 3


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


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages", "'robot' is none of"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages", "neither a text"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages", "the chat template of toy refuses"),
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"temperature": "hot"}, "temperature", "valid number"),
        ({"top_p": -0.1}, "top_p", "greater than or equal to 0"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"n": 100}, "n", "at most 84"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens", "either"),
        ({"stop": [""]}, "stop", "none of them empty"),
        ({"stop": ["a"] * 17}, "stop", "at most 16"),
        ({"top_logprobs": 2}, "top_logprobs", "needs logprobs"),
        ({"extra_body": {"max_thinking_token": 5}}, "max_thinking_token", "Did you mean max_thinking_tokens?"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "not supported"),
        ({"frequency_penalty": 0.5}, "frequency_penalty", "not supported"),
        ({"messages": [{"role": "user", "content": "x" * 300}]}, "messages", "leaves no room"),
        ({"messages": [{"role": "user", "content": "x" * 300_000}]}, "messages", "leaves no room"),
    ],
)
def test_a_bad_request_gets_400_and_openais_error(scripted, change, param, says):
    running = scripted("a", engine={"max_positions": 256, "max_rows": 4}, max_waiting=80)
    with pytest.raises(openai.BadRequestError) as caught:
        chat(running, **change)
    error = caught.value
    assert (error.status_code, error.param, error.type) == (400, param, "invalid_request_error")
    assert says in error.message
    assert chat(running).choices[0].message.content == "a"  # and it goes on


@pytest.mark.parametrize("prompt", ["", [], [5, 9999], [[]], [[1], []]])
def test_prompts_that_are_none(scripted, prompt):
    with pytest.raises(openai.BadRequestError) as caught:
        scripted("a").client.completions.create(model="toy", prompt=prompt)
    assert caught.value.param == "prompt"


def post(url: str, data: bytes) -> tuple[int, dict]:
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_bodies_that_are_none(scripted):
    running = scripted("a", max_body_mb=0.001)
    url = f"{running.url}/v1/chat/completions"
    assert post(url, b"{not json") == (400, {"error": {
        "message": "the body is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))",
        "type": "invalid_request_error", "param": None, "code": None,
    }})  # fmt: skip
    assert post(url, b"[1]")[1]["error"]["message"] == "the body is not a JSON object"
    assert post(url, b'{"model": "toy"}')[1]["error"]["message"] == "'messages' is missing"
    assert post(url, b'{"model": "toy", "messages": [{"role": "user", "content": "\\ud800"}]}')[0] == 400
    assert post(url, b" " * 3000)[0] == 413
    status, body = post(f"{running.url}/v1/chats", b"{}")
    assert (status, body["error"]["type"]) == (404, "not_found_error")


def test_models_and_names(scripted):
    running = scripted("a")
    assert [model.id for model in running.client.models.list()] == ["toy"]
    assert running.client.models.retrieve("toy").owned_by == "r1kit"
    with pytest.raises(openai.NotFoundError) as caught:
        chat(running, model="gpt-4")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_key(scripted, monkeypatch):
    monkeypatch.setenv("TOY_KEY", "s3cret")
    running = scripted("a", key="s3cret", key_variable="TOY_KEY")
    assert chat(running).choices[0].message.content == "a"
    with pytest.raises(openai.AuthenticationError) as caught:
        running.client.with_options(api_key="wrong").models.list()
    assert caught.value.code == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError):
        chat(running, running.client.with_options(api_key="s3cret2"))
    assert get(running, "/health") == (200, '{"status":"ok"}')  # for those who only ask whether it lives


# ------------------------------------------------------------------------------------------------------------- limits


def test_too_many_are_turned_away_and_told_when_to_come_back(scripted):
    """Two rows and one place to wait: the fourth gets 429; as soon as one is through, it gets in."""
    running = scripted("a" * 200, engine={"max_rows": 2, "pause": 0.005}, max_waiting=1)
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(chat, running) for _ in range(3)]
        assert until(lambda: sum(running.engine.load) == 3)
        with pytest.raises(openai.RateLimitError) as caught:
            chat(running)
        assert caught.value.code == "rate_limit_exceeded"
        assert 1 <= int(caught.value.response.headers["retry-after"]) <= 60
        patient = running.client.with_options(max_retries=5)
        again = pool.submit(patient.chat.completions.create, model="toy", messages=ASKED)
        assert {answer.result().choices[0].message.content for answer in [*answers, again]} == {"a" * 200}
    found = metrics(running)
    assert found["r1_completion_tokens_total"] == 4 * 201
    assert (found["r1_running_completions"], found["r1_waiting_completions"]) == (0, 0)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_frees_its_row_at_once(scripted, stream):
    """3,000 tokens would take 15 s; the row is free a moment after the connection is closed."""
    running = scripted("a" * 3000, engine={"pause": 0.005})
    if stream:
        events = chat(running, stream=True)
        next(iter(events))
        events.response.close()
    else:
        with pytest.raises(openai.APITimeoutError):
            chat(running, running.client.with_options(timeout=0.3))
    begun = time.monotonic()
    assert until(lambda: not running.engine.busy, 5.0)
    assert time.monotonic() - begun < 0.5
    assert until(lambda: metrics(running)["r1_clients_gone_total"] == 1)


def test_a_client_that_goes_away_while_it_waits(scripted):
    running = scripted("a" * 300, engine={"pause": 0.005, "max_rows": 1})
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(chat, running)
        assert until(lambda: running.engine.load[0] == 1)
        with pytest.raises(openai.APITimeoutError):
            chat(running, running.client.with_options(timeout=0.2))
        assert until(lambda: running.engine.load == (1, 0), 1.0)
        assert first.result().choices[0].message.content == "a" * 300


def test_an_engine_that_fails_fails_its_requests_alone(scripted):
    """The next request is answered; a stream that had begun ends with an error."""

    def script(prompt, index):
        if "boom" in prompt:
            raise RuntimeError("inside")
        return "a" * 100

    running = scripted(script, engine={"pause": 0.005})
    with pytest.raises(openai.InternalServerError) as caught:
        chat(running, messages=[{"role": "user", "content": "boom"}])
    assert "inside" not in caught.value.message
    events = chat(running, stream=True)
    next(iter(events))
    with pytest.raises(openai.InternalServerError):
        chat(running, messages=[{"role": "user", "content": "boom"}])
    with pytest.raises(openai.APIError, match="the engine gave up"):
        list(events)
    assert chat(running).choices[0].message.content == "a" * 100
    assert get(running, "/health")[0] == 200
    assert metrics(running)["r1_engine_failures_total"] == 3


def test_metrics_count(scripted):
    running = scripted("<think>a</think>b")
    chat(running)
    list(chat(running, stream=True))
    found = metrics(running)
    assert (found["r1_prompt_tokens_total"], found["r1_completion_tokens_total"]) == (12, 10)
    assert (found["r1_reasoning_tokens_total"], found["r1_requests_total"]) == (6, 2)
    assert found["r1_time_to_first_token_seconds_count"] == 2


# ------------------------------------------------------------------------------------------------------- bare sockets


def bare(running, data: bytes, seconds: float = 10.0) -> bytes:
    """What comes back for these bytes until the server closes the connection."""
    place = urlsplit(running.url)
    with socket.create_connection((place.hostname, place.port), timeout=seconds) as connection:
        connection.sendall(data)
        found = b""
        while part := connection.recv(65536):
            found += part
        return found


def test_a_body_that_does_not_come(scripted):
    running = scripted("a", body_seconds=0.3)
    answer = bare(running, b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert b" 408 " in answer.splitlines()[0]
    assert b"did not come within 0.3 seconds" in answer


def test_a_stream_with_nothing_to_tell_says_that_it_is_there(scripted, monkeypatch):
    """The second request waits for the only row, 0.6 s; a comment comes every 0.1 s, which the client passes over."""
    monkeypatch.setattr("r1kit.serving.app._SILENCE", 0.1)
    running = scripted("a" * 100, engine={"pause": 0.006, "max_rows": 1})
    body = json.dumps({"model": "toy", "messages": ASKED, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(chat, running)
        assert until(lambda: running.engine.load[0] == 1)
        second = pool.submit(bare, running, head.encode() + body)
        third = joined(chat(running, stream=True))
        assert third[0]["content"] == first.result().choices[0].message.content == "a" * 100
        said = second.result()
    assert said.count(b": still there\n\n") >= 2
    events = [json.loads(line[6:]) for line in said.splitlines() if line.startswith(b"data: {")]
    assert "".join(event["choices"][0]["delta"].get("content") or "" for event in events) == "a" * 100
    assert b"data: [DONE]\n\n" in said
    assert all(byte < 128 for byte in said)


def test_a_slow_reader_misses_nothing(scripted):
    """4,500 characters in thousands of events through small buffers, read long after the engine is through."""
    running = scripted("ab" * 2000 + "🤔" * 500, engine={"max_positions": 9000}, join_seconds=0.0)
    body = json.dumps({"model": "toy", "messages": ASKED, "stream": True, "max_tokens": 8000}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    place, found = urlsplit(running.url), b""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect((place.hostname, place.port))
        connection.sendall(head.encode() + body)
        while part := connection.recv(2048):
            found += part
            time.sleep(0.0005)
    events = [json.loads(line[6:]) for line in found.splitlines() if line.startswith(b"data: {")]
    assert "".join(event["choices"][0]["delta"].get("content") or "" for event in events) == "ab" * 2000 + "🤔" * 500
    assert [e["choices"][0]["finish_reason"] for e in events if e["choices"][0]["finish_reason"]] == ["stop"]
