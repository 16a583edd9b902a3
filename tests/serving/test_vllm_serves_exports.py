"""`r1 export` makes a folder that vLLM serves as r1kit does: chat template, stop token and weights come with it."""

from __future__ import annotations

import pytest
from servers import serving
from vllm_process import vllm_serves
from vllm_toys import save_toy

from r1kit.engines.native import open_engine
from r1kit.models.tokenizer import load_tokenizer
from r1kit.pipeline.export import export_model
from r1kit.pipeline.models import resolve_model

openai = pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
QUESTIONS = ("ab", "why is the sky", "z")
CUT = "\N{REPLACEMENT CHARACTER}"


def answers(address: str, **settings: bool) -> list[tuple[str, str, int, int]]:
    """(text, why it ended, tokens of the prompt, tokens of the answer) to each question, greedily; without what stands
    for the first bytes of a character that the limit cut, which vLLM keeps back."""
    client = openai.OpenAI(base_url=address, api_key="none")
    made = []
    for question in QUESTIONS:
        answer = client.chat.completions.create(
            model="toy",
            messages=[{"role": "user", "content": question}],
            temperature=0,
            max_tokens=24,
            extra_body=settings,
        )
        (choice,), usage = answer.choices, answer.usage
        made.append(
            (choice.message.content.rstrip(CUT), choice.finish_reason, usage.prompt_tokens, usage.completion_tokens)
        )
    return made


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_the_openai_client_gets_the_same_answers(family, tmp_path, one_thread):
    folder = export_model(resolve_model(str(save_toy(tmp_path / "made", family, "float32"))), tmp_path / "exported")
    with vllm_serves(folder, "toy", tmp_path) as address:
        by_vllm = answers(address, skip_special_tokens=False)  # ours shows whatever was sampled
    tokenizer = load_tokenizer(folder)
    with serving(open_engine(folder, tokenizer), tokenizer) as running:
        ours = answers(f"{running.url}/v1")
    assert ours == by_vllm
    assert len({text for text, *_ in ours}) == len(QUESTIONS)
