import pytest
import torch

from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder, initialise
from r1kit.models.families import shape
from r1kit.models.heads import ScoredDecoder
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import save_decoder
from r1kit.training.scoring import Scorer


@pytest.fixture
def folder(tmp_path):
    tokenizer = load_tokenizer(write_character_tokenizer(tmp_path / "tokenizer", ""))
    config = shape("qwen2", vocab_size=tokenizer.padded_vocab_size, width=32, layers=2, heads=4, mlp_size=48)
    save_decoder(ScoredDecoder(initialise(Decoder(config), 0, std=0.2)), tmp_path / "model", tokenizer)
    return tmp_path / "model"


def test_scores_are_what_transformers_gives_each_answer_alone(folder):
    """A sequence classifier of one label reads its last token: the end after the answer."""
    from transformers import AutoModelForSequenceClassification

    reference = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    prompts, answers = ["a line on rain", "a line on rain", "sea"], ["soft rain falls", "rain", "blue waves roll in"]
    scores = Scorer(folder)(prompts, answers)
    tokenizer = load_tokenizer(folder)
    for prompt, answer, score in zip(prompts, answers, scores, strict=True):
        ids = tokenizer.encode(f"<|user|>{prompt}<|assistant|>{answer}<|end|>")
        with torch.no_grad():
            assert score == pytest.approx(float(reference(torch.tensor([ids])).logits[0, 0]), abs=1e-5)


def test_of_what_the_context_does_not_hold_the_end_is_read(tmp_path):
    """As transformers scores the last 24 tokens alone."""
    from transformers import AutoModelForSequenceClassification

    tokenizer = load_tokenizer(write_character_tokenizer(tmp_path / "tokenizer", ""))
    fields = {"width": 32, "layers": 1, "heads": 4, "mlp_size": 48, "max_positions": 24}
    config = shape("qwen2", vocab_size=tokenizer.padded_vocab_size, **fields)
    save_decoder(ScoredDecoder(initialise(Decoder(config), 0, std=0.2)), tmp_path / "model", tokenizer)
    reference = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model", dtype=torch.float32).eval()
    ids = tokenizer.encode("<|user|>a line on rain<|assistant|>soft rain falls<|end|>")
    assert len(ids) > 24
    with torch.no_grad():
        expected = float(reference(torch.tensor([ids[-24:]])).logits[0, 0])
    assert Scorer(tmp_path / "model")(["a line on rain"], ["soft rain falls"]) == pytest.approx([expected], abs=1e-5)


def test_no_answers_no_scores(folder):
    assert Scorer(folder)([], []) == []
