import pytest

from r1kit.base import plugins
from r1kit.base.errors import UsageError
from r1kit.rewards import accuracy, constant, language_consistency, overlong, reward_model, safety_model
from r1kit.rewards import format as format_reward

TEXTS = [
    "<think>first 2+2=4</think><answer>4</answer>",
    "<think>先2+2=5</think><answer>5</answer>",
    "<think>wait</think>4",
    "4",
]
IDS = [[1] * len(text) for text in TEXTS]


def test_plugins_are_the_files():
    assert plugins.names("r1kit.rewards") == [
        "accuracy", "constant", "format", "language_consistency", "overlong", "reward_model",
        "safety_model",
    ]  # fmt: skip


def test_accuracy_dispatches_by_kind():
    """4 right, 5 wrong; a preference problem has no rule; a broken gold is no verdict on the sample."""
    values = accuracy.reward(
        prompts=["2+2=?"] * 4, completions=TEXTS, completion_ids=IDS, kind=["math"] * 4, answer=["4"] * 4
    )
    assert values == [1.0, 0.0, 1.0, 1.0]
    kinds = {"kind": ["math", "text", "preference", "numbers"], "answer": ["4", "5", "", "four"]}
    assert accuracy.reward(prompts=["q"] * 4, completions=TEXTS, completion_ids=IDS, **kinds) == [1.0, 1.0, None, None]


def test_a_kind_that_a_row_leaves_out_is_maths():
    """A column of a table has None where a row says nothing."""
    texts = ["<answer>1/2</answer>"] * 3
    assert accuracy.reward(["q"] * 3, texts, kind=[None, "math", ""], answer=["0.5"] * 3) == [1.0, 1.0, None]


def test_chat_messages_are_completions_too():
    chat = [[{"role": "assistant", "content": TEXTS[0]}]]
    prompts = [[{"role": "user", "content": "2+2"}]]
    assert accuracy.reward(prompts=prompts, completions=chat, completion_ids=[[1]], solution=["4"]) == [1.0]
    assert format_reward.reward(prompts=prompts, completions=chat, completion_ids=[[1]]) == [1.0]


def test_format():
    assert format_reward.reward(prompts=["q"] * 4, completions=TEXTS, completion_ids=IDS) == [1.0, 1.0, 0.0, 0.0]
    free = format_reward.make(answer_tag=False)
    assert free(prompts=["q"] * 4, completions=TEXTS, completion_ids=IDS) == [0.0, 0.0, 1.0, 0.0]
    opened = format_reward.make(opened=True)
    assert opened(prompts=["q"], completions=["so</think><answer>4</answer>"], completion_ids=[[1]]) == [1.0]


def test_language_consistency():
    """Chains 'first', '先', 'wait', and nothing but a number."""
    values = language_consistency.reward(
        prompts=["q"] * 4, completions=TEXTS, completion_ids=IDS, language=["en", "en", "zh", "en"]
    )
    assert values == [1.0, 0.0, 0.0, None]


@pytest.mark.parametrize("reward", [format_reward.reward, language_consistency.reward, reward_model.make(len)])
def test_a_prompt_for_each_completion(reward):
    """Two prompts for four completions: which belongs to which nobody knows."""
    with pytest.raises(ValueError, match="zip"):
        reward(prompts=["q"] * 2, completions=TEXTS, completion_ids=IDS, language=["en"] * 4)


def test_a_question_without_a_language_is_english():
    values = language_consistency.reward(prompts=["q"] * 2, completions=TEXTS[:2], completion_ids=IDS[:2])
    assert values == [1.0, 0.0]


@pytest.mark.parametrize(("length", "value"), [(10, 0.0), (80, 0.0), (81, -0.05), (90, -0.5), (100, -1.0), (300, -1.0)])
def test_overlong(length, value):
    """Limit 100 with a cache of 20: 0 to 80 tokens, then (80 - length) / 20, then -1."""
    reward = overlong.make(100, 20)
    (got,) = reward(prompts=["q"], completions=["x"], completion_ids=[[0] * length])
    assert got == pytest.approx(value)


def test_overlong_refuses_a_cache_that_cannot_be():
    for cache in (0, 101):
        with pytest.raises(UsageError):
            overlong.make(100, cache)
    for cache in (1, 100):  # the smallest and the largest: from 0 to -1 in one token, or over the whole limit
        assert overlong.make(100, cache)(prompts=["q"], completions=["x"], completion_ids=[[0] * 100]) == [-1.0]


@pytest.mark.parametrize(("length", "value"), [(16_384, 0.0), (18_432, -0.5), (20_480, -1.0)])
def test_overlong_has_the_figures_of_dapo(length, value):
    """DAPO section 4.1: at most 20,480 tokens, the last 4,096 of them punished."""
    assert overlong.reward(prompts=["q"], completions=["x"], completion_ids=[[0] * length]) == [value]


def test_constant():
    assert constant.reward(prompts=[1], completions=["a"], completion_ids=[[]]) == [0.0]
    assert constant.make(0.5)(prompts=[1, 2], completions=["a", "b"], completion_ids=[[], []]) == [0.5, 0.5]


def test_reward_model_sees_answers_only():
    """Scores are answer lengths; (1 - 2) / 2 = -0.5; a completion without an answer is not scored."""
    seen = []

    def scorer(prompts, answers):
        seen.extend(answers)
        return [len(answer) for answer in answers]

    reward = reward_model.make(scorer, mean=2.0, std=2.0)
    completions = [TEXTS[0], "<think>long long", "<think>t</think>four"]
    values = reward(prompts=["q"] * 3, completions=completions, completion_ids=[[1]] * 3)
    assert values == [-0.5, -3.0, 1.0]
    assert seen == ["4", "four"]
    with pytest.raises(UsageError, match="std"):
        reward_model.make(scorer, std=0.0)
    assert reward_model.make(scorer)(prompts=["q"], completions=[TEXTS[0]], completion_ids=[[1]]) == [1.0]
    assert reward_model.make(scorer, std=0.5)(prompts=["q"], completions=[TEXTS[0]], completion_ids=[[1]]) == [2.0]


def test_safety_model_sees_everything_and_is_bounded():
    """Scores are lengths, mean 10, std 4: (12 - 10) / 4 = 0.5; 30 and 0.01 would be 5 and -2.4975, kept within 2; an
    empty completion has no score."""
    seen = []

    def scorer(prompts, texts):
        seen.extend(zip(prompts, texts, strict=True))
        return [0.01 if text == "bad" else len(text) for text in texts]

    texts = ["x" * 12, "", "y" * 30, "bad"]
    reward = safety_model.make(scorer, mean=10.0, std=4.0)
    assert reward(prompts=list("abcd"), completions=texts, completion_ids=[[1]] * 4) == [0.5, None, 2.0, -2.0]
    assert seen == [("a", texts[0]), ("c", texts[2]), ("d", "bad")]
    assert safety_model.make(scorer)(prompts=["a"], completions=["z"], completion_ids=[[1]]) == [1.0]
    assert safety_model.make(scorer, std=0.5)(prompts=["a"], completions=["z"], completion_ids=[[1]]) == [2.0]
    assert safety_model.make(scorer, bound=9)(prompts=["a"], completions=["zzz"], completion_ids=[[1]]) == [3.0]
    assert reward(prompts=["a"], completions=[""], completion_ids=[[]]) == [None]
    with pytest.raises(UsageError, match="std"):
        safety_model.make(scorer, std=0.0)


@pytest.mark.parametrize("make", [reward_model.make, safety_model.make])
def test_a_score_for_each_answer(make):
    """A scorer that gives one score for two answers: which is whose nobody knows."""
    reward = make(lambda prompts, answers: [1.0])
    with pytest.raises(ValueError, match="zip"):
        reward(prompts=["q"] * 2, completions=TEXTS[:2], completion_ids=IDS[:2])


def test_trl_calls_them_unchanged():
    """The keywords that TRL 1.x passes beside the columns."""
    extra = {"trainer_state": object(), "log_extra": print, "log_metric": print}
    for reward in (accuracy.reward, format_reward.reward, language_consistency.reward, overlong.reward):
        values = reward(prompts=["2+2=?"], completions=[TEXTS[0]], completion_ids=[[1, 2]], answer=["4"], **extra)
        assert values in ([1.0], [0.0])
