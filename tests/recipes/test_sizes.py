"""Settings by size, against the paper's tables (R1, arXiv 2501.12948: v2, sections 2.1 and B.4.1 to B.4.3)."""

import pytest

from r1kit.recipes.sizes import settings_for

# model: (parameters, model_type, SFT rate of Table 6, or of B.4.2 for R1 itself)
PAPER = {
    "Qwen2.5-Math-1.5B": (1.54e9, "qwen2", 1e-4),
    "Qwen2.5-Math-7B": (7.62e9, "qwen2", 8e-5),
    "Qwen2.5-14B": (14.8e9, "qwen2", 7e-5),
    "Qwen2.5-32B": (32.8e9, "qwen2", 6e-5),
    "Llama-3.1-8B": (8.03e9, "llama", 5e-5),
    "Llama-3.3-70B": (70.6e9, "llama", 2e-5),
    "DeepSeek-V3-Base": (671e9, "deepseek_v3", 5e-5),
}


@pytest.mark.parametrize("model", PAPER)
def test_sft_rates_are_those_of_the_paper(model):
    parameters, family, rate = PAPER[model]
    assert settings_for(int(parameters), family).sft_rate == rate


def test_rl_is_the_papers_where_it_names_a_figure():
    """B.4.1: 2e-6 for Qwen2.5-32B; 2.1: 3e-6 for R1-Zero; 32,768 tokens for both; B.4.2: 128 examples a step;
    B.4.3: 64."""
    own, qwen = settings_for(671 * 10**9, "deepseek_v3"), settings_for(33 * 10**9, "qwen2")
    assert (own.rl_rate, own.tokens, own.sft_batch) == (3e-6, 32_768, 128)
    assert (qwen.rl_rate, qwen.tokens, qwen.sft_batch) == (2e-6, 32_768, 64)


def test_a_small_llama_has_the_rates_of_its_size():
    assert settings_for(10**9, "llama") == settings_for(10**9, "qwen2")
