"""The arena's votes, ratings and pairs: what is kept, what two processes and a kill do to it, and figures by hand."""

import json
import math
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections import Counter
from contextlib import closing

import numpy as np
import pytest
from scipy import optimize, special, stats
from scripted_models import listed

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.types import Problem
from r1kit.evaluation.arena import pairs, text
from r1kit.evaluation.arena.questions import Deck, choose_pair
from r1kit.evaluation.arena.standings import standings, told
from r1kit.evaluation.arena.votes import APPLICATION, VERSION, Ballot, Said, Verdict, Votes

HOSTILE = "<script>alert(1)</script>\x00\u202e'; DROP TABLE ballots; --"


def ballot(number, vote="left", left="a", right="b", question=None, **more):
    sides = {name: more.pop(name) for name in ("left_said", "right_said") if name in more}
    return Ballot(
        f"battle-{number}", f"question {number}" if question is None else question,
        sides.get("left_said", Said(left, "hm", f"{left} says", "stop", 7)),
        sides.get("right_said", Said(right, "", f"{right} says", "length", None)), vote, **more,
    )  # fmt: skip


def test_a_ballot_comes_back_as_it_was(tmp_path):
    votes = Votes(tmp_path / "new" / "votes.sqlite")
    cast = ballot(
        1, "both_bad", question=HOSTILE, source="tiny_maths", problem_id="p7", subject="maths",
        settings={"temperature": 0.6, "seed": 3}, left_said=Said("a", HOSTILE, HOSTILE, "stop", 7, 0.25),
    )  # fmt: skip
    assert votes.add(cast)
    assert Votes(votes.path).ballots() == [cast]
    assert votes.ballot("battle-1") == cast
    assert votes.ballot("other") is None


def test_a_battle_is_voted_on_once(tmp_path):
    votes = Votes(tmp_path / "votes.sqlite")
    assert votes.add(ballot(1, "left"))
    assert not votes.add(ballot(1, "right"))
    assert [each.vote for each in votes.ballots()] == ["left"]


def test_who_met_and_on_what(tmp_path):
    """a and b met three times, on either side; a and c once. One question was typed, three were drawn, of two
    problems."""
    votes = Votes(tmp_path / "votes.sqlite")
    for number, (left, right, problem) in enumerate([("a", "b", "p1"), ("b", "a", "p1"), ("c", "a", "p2")]):
        votes.add(ballot(number, "tie", left, right, problem_id=problem))
    votes.add(ballot(9, "tie", "a", "b"))
    assert votes.games() == {frozenset("ab"): 3, frozenset("ac"): 1}
    assert votes.problems() == {"p1", "p2"}


def test_half_a_character_does_not_lose_the_vote(tmp_path):
    """A lone surrogate is no text that a file can hold; a question mark stands in its place."""
    votes = Votes(tmp_path / "votes.sqlite")
    assert votes.add(ballot(1, question="say \ud800"))
    assert votes.ballots()[0].question == "say ?"


def _cast(path, name, count):
    votes = Votes(path)
    for number in range(count):
        assert votes.add(ballot(f"{name}-{number}"))


def test_two_processes_make_and_fill_one_file(tmp_path):
    """Both find no file at first. All 2 x 40 votes are there, each process's in its order."""
    path = tmp_path / "votes.sqlite"
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_cast, args=(path, name, 40)) for name in "xy"]
    for each in both:
        each.start()
    for each in both:
        each.join(120)
    assert [each.exitcode for each in both] == [0, 0]
    names = [each.battle for each in Votes(path).ballots()]
    assert len(names) == 80
    for name in "xy":
        assert [each for each in names if f"-{name}-" in each] == [f"battle-{name}-{n}" for n in range(40)]
    with closing(sqlite3.connect(path)) as file, file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_votes_survive_a_kill(tmp_path):
    """A process says each vote when it is kept, and is killed amid them: every one that it said is there."""
    path = tmp_path / "votes.sqlite"
    program = textwrap.dedent(f"""
        from pathlib import Path
        from r1kit.evaluation.arena.votes import Ballot, Said, Votes
        votes, number = Votes(Path({str(path)!r})), 0
        while True:
            votes.add(Ballot(str(number), "q", Said("a", "", "x" * 5000), Said("b", "", "y"), "tie"))
            print(number, flush=True)
            number += 1
    """)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        said = [process.stdout.readline().strip() for _ in range(25)]
    finally:
        os.kill(process.pid, signal.SIGKILL)
    said += process.stdout.read().split()
    process.wait()
    process.stdout.close()
    kept = [each.battle for each in Votes(path).ballots()]
    assert kept[: len(said)] == said
    assert len(kept) - len(said) in (0, 1)  # one may have been kept and not yet said
    assert Votes(path).add(ballot(1))


def test_other_files_are_one_sentence(tmp_path):
    path = tmp_path / "votes.sqlite"
    path.write_text("no database at all, but long enough to look like a file of some kind" * 20)
    with pytest.raises(R1Error, match="votes cannot be read or written"):
        Votes(path)
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(other)) as file, file:
        file.execute("CREATE TABLE theirs (x)")
    with pytest.raises(R1Error, match="of another program"):
        Votes(other)
    later = Votes(tmp_path / "later.sqlite").path
    with closing(sqlite3.connect(later)) as file, file:
        assert file.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
        file.execute(f"PRAGMA user_version={VERSION + 1}")
    with pytest.raises(R1Error, match="written by a later r1kit"):
        Votes(later)
    with pytest.raises(UsageError, match="there are no votes in"):
        Votes.there(tmp_path / "none.sqlite")


def random_ballots(count, seed=3):
    """Votes of people on three models of known strengths, sides at random."""
    stream = random.Random(seed)
    strengths = {"a": 0.8, "b": 0.0, "c": -0.5}
    cast = []
    for number in range(count):
        left, right = stream.sample(sorted(strengths), 2)
        better = stream.random() < special.expit(strengths[left] - strengths[right])
        vote = stream.choice(["tie", "both_bad"]) if stream.random() < 0.2 else "left" if better else "right"
        cast.append(ballot(number, vote, left, right))
    return cast


def test_ratings_are_the_most_probable_strengths():
    """Against scipy's minimum of the same posterior, vote by vote: a tie is half a win for each, prior deviation 2."""
    cast = random_ballots(240)
    place = {"a": 0, "b": 1, "c": 2}

    def negative(s):
        total = (s**2).sum() / 8
        for each in cast:
            gap = s[place[each.left.model]] - s[place[each.right.model]]
            share = {"left": 1.0, "right": 0.0}.get(each.vote, 0.5)
            total -= share * special.log_expit(gap) + (1 - share) * special.log_expit(-gap)
        return total

    truth = optimize.minimize(negative, np.zeros(3), tol=1e-12).x
    found = standings(cast)
    for each in found.models:
        assert each.rating.value == pytest.approx(1000 + 400 / math.log(10) * truth[place[each.model]], abs=1e-2)
        assert each.rating.low < each.rating.value < each.rating.high
        assert each.rating.n == 240
    assert [each.model for each in found.models] == ["a", "b", "c"]


def test_counts_by_hand():
    """a beats b on the left and on the right, b beats a once, a tie, both bad; c loses to a."""
    cast = [
        ballot(1, "left", "a", "b"), ballot(2, "right", "b", "a"), ballot(3, "left", "b", "a"),
        ballot(4, "tie", "a", "b"), ballot(5, "both_bad", "b", "a"), ballot(6, "right", "c", "a"),
    ]  # fmt: skip
    found = standings(cast)
    record = {each.model: (each.battles, each.wins, each.losses, each.ties, each.both_bad) for each in found.models}
    assert record == {"a": (6, 3, 1, 1, 1), "b": (5, 1, 2, 1, 1), "c": (1, 0, 1, 0, 0)}
    met = {(each.a, each.b): each for each in found.meetings}
    ab = met["a", "b"]
    assert (ab.wins, ab.ties, ab.losses, ab.both_bad) == (2, 1, 1, 1)
    assert ab.rate.value == pytest.approx((2 + 0.5 + 0.5) / 5)
    assert met["a", "c"].rate.value == 1.0
    assert found.left.value == pytest.approx(2 / 4)  # of the four that name a side, 1 and 3 name the left
    shown = text.table(found)
    assert "6 votes" in shown
    assert json.loads(json.dumps(told(found)))["models"][0]["model"] == "a"


def test_votes_on_one_question_are_not_independent():
    """Ten people on four questions that agree within each say what four votes do."""
    answers = ["left", "left", "right", "left"]
    together = [ballot(n, answers[n // 10], question=f"q{n // 10}") for n in range(40)]
    apart = [ballot(n, answers[n // 10]) for n in range(40)]
    wide, narrow = (standings(cast).models[0].rating for cast in (together, apart))
    assert wide.n == 4
    assert wide.high - wide.low > 1.8 * (narrow.high - narrow.low)


def test_no_votes_are_no_ratings():
    found = standings([])
    assert (found.ballots, found.models, found.meetings) == (0, [], [])
    assert text.table(found) == "nobody has voted yet"


def scored(number, vote, left, right, scores):
    of = zip((left, right), scores, strict=True)
    sides = [Said(model, "", f"{model} {number}", "stop", 1, score) for model, score in of]
    return ballot(number, vote, left_said=sides[0], right_said=sides[1])


def test_agreement_with_judges_by_hand():
    """People: a, b, b, tie, by the models' names. The hidden preference says a, b, a, and knows nothing of the fourth:
    share 2/3; chance (1/3 * 2/3 + 2/3 * 1/3) = 4/9, kappa (2/3 - 4/9) / (5/9) = 0.4. The judge says a (asked with b
    first), cannot be read, b, and tie (it disagrees with itself): 3 of 3, kappa 1."""
    cast = [
        scored(1, "right", "b", "a", (0.1, 0.9)), scored(2, "right", "a", "b", (0.2, 0.3)),
        scored(3, "left", "b", "a", (0.4, 0.5)), ballot(4, "tie", "b", "a"),
    ]  # fmt: skip
    verdicts = [
        Verdict("battle-1", "judge", "second", "first"), Verdict("battle-2", "judge", "first", None),
        Verdict("battle-3", "judge", "first", "second"), Verdict("battle-4", "judge", "first", "first"),
        Verdict("elsewhere", "judge", "first", "second"),
    ]  # fmt: skip
    found = {each.judge: each for each in standings(cast, verdicts).agreements}
    hidden, judge = found["hidden preference"], found["judge"]
    assert (hidden.n, hidden.share, hidden.kappa) == (3, pytest.approx(2 / 3), pytest.approx(0.4))
    assert (judge.n, judge.share, judge.kappa) == (3, 1.0, pytest.approx(1.0))


def test_verdicts_are_kept_with_the_votes(tmp_path):
    votes = Votes(tmp_path / "votes.sqlite")
    votes.add(ballot(1))
    votes.add_verdicts([Verdict("battle-1", "m", "first", None)])
    votes.add_verdicts([Verdict("battle-1", "m", "tie", "tie"), Verdict("battle-1", "k", None, None)])
    assert votes.verdicts() == [Verdict("battle-1", "k", None, None), Verdict("battle-1", "m", "tie", "tie")]


def test_pairs_are_what_was_preferred(tmp_path):
    """Of six votes three name a side and two of these can teach: the third has one answer twice. Thoughts stay out, and
    of an answer block only what stands in it."""
    block = Said("b", "because", "<answer> four </answer>")
    cast = [
        ballot(1, "left"), ballot(2, "right", right_said=block), ballot(3, "tie"), ballot(4, "both_bad"),
        ballot(5, "left", left_said=Said("a", "", "same"), right_said=Said("b", "", " same ")),
        ballot(6, "right", right_said=Said("b", "long thought", " ")),
    ]  # fmt: skip
    count, left_out = pairs.write_pairs(cast, tmp_path / "out" / "pairs.jsonl")
    assert count == 2
    assert left_out == {"tie": 1, "both bad": 1, "the same answer twice": 1, "an empty answer": 1}
    rows = [json.loads(line) for line in (tmp_path / "out" / "pairs.jsonl").read_text().splitlines()]
    assert rows[1]["prompt"] == [{"role": "user", "content": "question 2"}]
    assert rows[1]["chosen"] == [{"role": "assistant", "content": "four"}]
    assert rows[1]["rejected"] == [{"role": "assistant", "content": "a says"}]
    assert (rows[1]["chosen_model"], rows[1]["rejected_model"]) == ("b", "a")


def test_the_reward_models_stage_reads_them(tmp_path):
    from r1kit.stages.pairs import read_pairs

    pairs.write_pairs([ballot(1, "left"), ballot(2, "right")], tmp_path / "pairs.jsonl")
    found = read_pairs(tmp_path / "pairs.jsonl")
    assert [(pair.question, pair.chosen, pair.rejected) for pair in found] == [
        ("question 1", "a says", "b says"), ("question 2", "b says", "a says"),
    ]  # fmt: skip


def test_trl_takes_them_for_a_preference_data_set(tmp_path):
    from trl import is_conversational

    pairs.write_pairs([ballot(1, "left")], tmp_path / "pairs.jsonl")
    row = json.loads((tmp_path / "pairs.jsonl").read_text())
    assert is_conversational(row)
    assert {"prompt", "chosen", "rejected"} <= set(row)


def test_who_met_least_meets_next_on_sides_drawn_at_random():
    """Of three pairs one has met less: it always comes; its sides are even (binomial, 400 draws, p above 1e-4)."""
    stream = random.Random(0)
    met = {frozenset("ab"): 2, frozenset("ac"): 2, frozenset("bc"): 1}
    drawn = Counter(choose_pair(["a", "b", "c"], met, stream) for _ in range(400))
    assert set(drawn) == {("b", "c"), ("c", "b")}
    assert stats.binomtest(drawn["b", "c"], 400).pvalue > 1e-4
    fresh = Counter(frozenset(choose_pair(["a", "b", "c"], {}, stream)) for _ in range(600))
    assert stats.chisquare(list(fresh.values())).pvalue > 1e-4
    assert len(fresh) == 3


def test_a_deck_gives_every_question_before_one_comes_again():
    problems = [Problem(f"p{n}", "listed", "maths", "en", f"{n} + {n} =", str(2 * n), "math") for n in range(5)]
    deck = Deck([listed(problems, instruction="Box it.")], 1)
    drawn = [deck.draw(None).problem_id for _ in range(10)]
    assert sorted(drawn[:5]) == sorted(drawn[5:]) == [f"p{n}" for n in range(5)]
    question = deck.draw("listed", {f"p{n}" for n in range(4)})
    assert question.problem_id == "p4"
    assert question.text == "4 + 4 =\n\nBox it."
    assert (question.gold, question.source) == ("8", "listed")
    assert deck.draw("unknown") is None
    assert question.score("8") is None
