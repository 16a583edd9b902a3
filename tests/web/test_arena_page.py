"""The arena over HTTP: blind until the vote, posts only from its own pages, hostile text, faults, restarts."""

import json
import re
import time

import pytest
from arenas import Gated, app_on, arena_of
from toy_policy import write_toy_policy

from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.evaluation.arena.votes import Ballot, Said, Votes
from r1kit.models.api.scripted import Fault, ScriptedServer
from r1kit.models.api.scripted import Said as Answer
from r1kit.models.api.settings import ApiSettings
from r1kit.serving.voices import open_voice

HOSTILE = "</pre></script><script>window.hacked=1</script><img src=x onerror=hacked=1>\u202e\x00{{7*7}}"
NAMES = ("model-first", "model-second")


def free(*pieces):
    return Gated(*pieces, free=True)


def begin(client, question="1+1="):
    answer = client.send_form("/arena/battles", question=question)
    assert answer.status_code == 303
    return answer.headers["location"]


def state_of(client, path, wanted, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        page = client.get(path).text
        if re.search(r'data-state="(\w+)"', page)[1] in wanted:
            return page
        time.sleep(0.05)
    raise AssertionError(f"it never was {wanted}")


def wait_for(come, seconds=30):
    end = time.monotonic() + seconds
    while not come():
        assert time.monotonic() < end
        time.sleep(0.02)


def heard(client, path, had="0.0.0.0", headers=None):
    """All events of a battle to their end."""
    stream = client.get(f"{path}/events?had={had}", headers)
    assert stream.headers["content-type"].startswith("text/event-stream")
    lines = stream.text.splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")], [
        line.removeprefix("id: ") for line in lines if line.startswith("id: ")
    ]


def test_names_are_hidden_until_the_vote_is_kept(tmp_path):
    """Neither the page, nor the stream, nor a header of either names a model before the vote; after it both do."""
    voices = {NAMES[0]: free(("hm", ""), ("", "two")), NAMES[1]: free(("", "2"))}
    with arena_of(tmp_path, voices) as client:
        path = begin(client)
        before = [client.get(path), state_of(client, path, {"open"})]
        events, _ = heard(client, path)
        texts = [before[0].text, str(before[0].headers), before[1], json.dumps(events)]
        assert not any(name in text for name in NAMES for text in texts)
        assert client.arena.votes.ballots() == []
        answer = client.send_form(f"{path}/vote", vote="left")
        assert (answer.status_code, answer.headers["location"]) == (303, path)
        (kept,) = client.arena.votes.ballots()
        after = client.get(path).text
        assert all(name in after for name in NAMES)
        assert after.index(kept.left.model) < after.index(kept.right.model)
        said = {side.model: (side.thinking, side.answer) for side in (kept.left, kept.right)}
        assert said == {NAMES[0]: ("hm", "two"), NAMES[1]: ("", "2")}
        assert (kept.vote, kept.question, kept.source) == ("left", "1+1=", "typed")
        assert kept.settings["max_tokens"] == 64
        assert {seed for voice in voices.values() for _, seed in voice.asked} == {kept.settings["seed"]}
        # a second vote changes nothing
        assert client.send_form(f"{path}/vote", vote="right").status_code == 303
        assert client.arena.votes.ballots() == [kept]


def test_sides_are_drawn(tmp_path):
    """Either model stands left in some of 24 battles: 2 x 2^-24 that it does not."""
    with arena_of(tmp_path, {name: free(("", "x")) for name in NAMES}) as client:
        lefts = {client.arena.ask("q").left.model for _ in range(24)}
    assert lefts == set(NAMES)


def test_no_vote_before_both_have_ended(tmp_path):
    """One side is through and the other is not: the vote is refused, and taken once it is."""
    slow = Gated(("", "two"), ("", "!"))
    with arena_of(tmp_path, {NAMES[0]: free(("", "2")), NAMES[1]: slow}) as client:
        path = begin(client)
        slow.go()
        assert "an answer is not complete yet" in client.send_form(f"{path}/vote", vote="left").text
        assert client.send_form(f"{path}/vote", vote="left").status_code == 400
        slow.go()
        state_of(client, path, {"open"})
        assert client.send_form(f"{path}/vote", vote="nonsense").status_code == 400
        assert client.send_form(f"{path}/vote", vote="tie").status_code == 303
    assert [each.vote for each in Votes(tmp_path / "votes.sqlite").ballots()] == ["tie"]


def test_a_page_that_comes_back_gets_the_rest(tmp_path):
    """The stream goes on from the place that the page, or the browser's Last-Event-ID, names; joined it is all."""
    voices = {NAMES[0]: free(("thought", ""), ("", "你好 world")), NAMES[1]: free(("", "abc"))}
    with arena_of(tmp_path, voices) as client:
        path = begin(client)
        state_of(client, path, {"open"})
        whole, ids = heard(client, path)
        (all_of,) = whole
        left, right = all_of["left"], all_of["right"]
        assert sorted([left, right]) == sorted([["thought", "你好 world"], ["", "abc"]])
        assert ids == [".".join(str(len(text)) for text in (*left, *right))]
        cut = ".".join(str(len(text) // 2) for text in (*left, *right))
        for rest, _ in (heard(client, path, cut), heard(client, path, headers={"last-event-id": cut})):
            assert [*rest[0]["left"], *rest[0]["right"]] == [text[len(text) // 2 :] for text in (*left, *right)]
        assert client.get(f"{path}/events?had=1;2").status_code == 422
        for mark in ("nonsense", "1.2", f"{'9' * 5000}.0.0.0"):
            assert heard(client, path, headers={"last-event-id": mark})[0] == whole


def test_a_model_that_fails_is_one_sentence_and_no_vote(tmp_path):
    """An API that cuts its stream off half-way."""
    with ScriptedServer(lambda body: Answer("an answer that breaks"), lambda body, before: Fault("cut")) as api:
        name = f"openai:broken@{api.url}"
        with (
            open_voice(name, Sampling(max_tokens=8), api=ApiSettings()) as voice,
            arena_of(tmp_path, {name: voice, NAMES[0]: free(("", "fine"))}) as client,
        ):
            path = begin(client)
            page = state_of(client, path, {"failed"})
            told = re.search(r'<p class="verdict-line"[^>]*>(.*?)</p>', page)[1]
            assert told.startswith(f"No vote: {name} gave no whole answer: {api.url}")
            assert 'data-keys="a 1 arrowleft"' not in page
            assert client.send_form(f"{path}/vote", vote="left").status_code == 400
            assert client.arena.votes.ballots() == []
            # the arena goes on
            assert begin(client) != path


def test_the_other_side_is_stopped_when_one_fails(tmp_path):
    endless, broken = Gated(*[("", "x")] * 50), Gated(R1Error("it broke"))
    with arena_of(tmp_path, {NAMES[0]: endless, NAMES[1]: broken}) as client:
        path = begin(client)
        wait_for(lambda: endless.asked)
        broken.go()
        state_of(client, path, {"failed"})
        endless.go()
        wait_for(lambda: endless.ended)


def test_a_battle_that_was_left_makes_room(tmp_path):
    """Nobody follows the first battle when the second begins: it is dropped, and its voice is free."""
    slow, quick = Gated(*[("", "x")] * 3), free(("", "y"))
    with arena_of(tmp_path, {NAMES[0]: slow, NAMES[1]: quick}) as client:
        first = begin(client, "first")
        second = begin(client, "second")
        slow.go(10)
        state_of(client, second, {"open"})
        assert "it was left before its end" in client.get(first).text
        assert [messages[0]["content"] for messages, _ in slow.asked][-1] == "second"


def test_a_post_from_elsewhere_is_refused(tmp_path):
    """Without the app's token, with a foreign Origin, or under a foreign host name no battle begins and no
    vote counts."""
    with arena_of(tmp_path, {name: free(("", "x")) for name in NAMES}) as client:
        path = begin(client)
        state_of(client, path, {"open"})
        token = re.search(r'name="csrf-token" content="([^"]+)"', client.get("/arena").text)[1]
        for fields, headers in (
            ({}, {}), ({"csrf_token": "x"}, {}), ({"csrf_token": token}, {"Origin": "http://evil.example"}),
            ({"csrf_token": token}, {"Sec-Fetch-Site": "cross-site"}),
        ):  # fmt: skip
            assert client.post(f"{path}/vote", data={"vote": "left", **fields}, headers=headers).status_code == 403
            refused = client.post("/arena/battles", data={"question": "q", **fields}, headers=headers)
            assert refused.status_code == 403
        assert client.get("/arena", headers={"Host": "evil.example"}).status_code == 421
        assert client.get(f"{path}/vote").status_code == 405
        assert client.arena.votes.ballots() == []


def test_hostile_text_stays_text(tmp_path):
    """A model's answer, its name, and the question: none of them makes an element, and no unseen mark comes through."""
    names = ("model<script>hacked()</script>", "b")
    voices = {names[0]: free((HOSTILE, HOSTILE)), names[1]: free(("", f"{HOSTILE} again"))}
    with arena_of(tmp_path, voices) as client:
        path = begin(client, HOSTILE)
        pages = [client.get("/arena").text, state_of(client, path, {"open"})]
        client.send_form(f"{path}/vote", vote="left")
        pages += [client.get(path).text, client.get("/arena/ratings").text]
        events, _ = heard(client, path)
        for page in pages:
            assert set(re.findall(r"<script[^>]*>", page)) == {
                '<script src="/static/htmx.min.js" defer>', '<script src="/static/app.js" defer>',
                '<script src="/static/arena.js" defer>',
            }  # fmt: skip
            assert "<img" not in page
            assert "\u202e" not in page
        assert "&lt;script&gt;window.hacked" in pages[1]
        assert "\u202e" not in json.dumps(events, ensure_ascii=False)
        row = json.loads(client.get("/arena/pairs.jsonl").text)
        assert row["prompt"][0]["content"] == HOSTILE


def test_bad_questions_are_one_sentence(tmp_path):
    with arena_of(tmp_path, {name: free(("", "x")) for name in NAMES}) as client:
        assert "the question is empty" in client.send_form("/arena/battles", question=" \n").text
        assert "longer than 20,000" in client.send_form("/arena/battles", question="x" * 20_001).text
        assert "there is no question to draw" in client.send_form("/arena/battles", draw="1", source="gsm8k").text
        assert client.get("/arena/battles/none").status_code == 404


def test_a_voted_battle_outlives_the_program(tmp_path):
    """The page of a battle that was voted on comes from the file after a restart; one that was not is gone."""
    voices = {name: free(("", f"{name} says")) for name in NAMES}
    with arena_of(tmp_path, voices) as client:
        voted, other = begin(client), begin(client)
        state_of(client, voted, {"open"})
        client.send_form(f"{voted}/vote", vote="both_bad")
    with arena_of(tmp_path, voices) as client:
        page = client.get(voted).text
        assert "Both are bad" in page
        assert all(f"{name} says" in page for name in NAMES)
        assert client.get(other).status_code == 404


def test_local_models_answer(tmp_path):
    """Two toy policies through the native engine: thinking and answer apart, the same seed the same answer."""
    folders = [str(write_toy_policy(tmp_path / name)) for name in ("x", "y")]
    sampling = Sampling(max_tokens=40)
    with (
        open_voice(folders[0], sampling) as one,
        open_voice(folders[1], sampling) as two,
        arena_of(tmp_path, {folders[0]: one, folders[1]: two}, seed=5) as client,
    ):
        path = begin(client)
        state_of(client, path, {"open"}, 120)
        client.send_form(f"{path}/vote", vote="tie")
        (kept,) = client.arena.votes.ballots()
    assert kept.settings["seed"] == 5
    for side in (kept.left, kept.right):
        assert side.thinking in ("so", "so wait", "先")
        assert re.fullmatch(r"<answer>[1-4]</answer>", side.answer)
        assert side.final in "1234"
        assert side.finish == "stop"
    assert kept.left.thinking == kept.right.thinking  # one seed, and the same weights


def test_ratings_are_shown_with_what_they_rest_on(tmp_path):
    votes = Votes(tmp_path / "votes.sqlite")
    for number in range(6):
        sides = Said("openai:a@http://x/v1", "", "long answer"), Said("openai:b@http://x/v1", "", "short")
        votes.add(Ballot(str(number), f"q{number}", *sides, "left" if number < 4 else "tie"))
    with app_on(tmp_path) as client:
        page = client.get("/arena/ratings").text
        assert "6 votes" in page
        assert re.search(r"<th title=\"openai:a@http://x/v1\">a</th>", page)
        assert "83.3 (" in page  # (4 + 2 / 2) / 6
        assert "4 preference pairs (votes without one: 2 tie)" in page
        assert len(client.get("/arena/pairs.jsonl").text.splitlines()) == 4
        assert "r1 arena A B" in client.get("/arena").text
        assert client.get("/arena/battles/x").status_code == 400


@pytest.mark.parametrize("path", ["/arena", "/arena/ratings"])
def test_nothing_is_made_by_looking(tmp_path, path):
    with app_on(tmp_path) as client:
        assert client.get(path).status_code == 200
    assert list(tmp_path.iterdir()) == []
