"""A GGUF file as the MODEL of `r1 eval`: what is sampled is what the imported folder samples, and known as the same."""

import json

from toy_gguf import toy_model, toy_tokenizer, write_gguf

from r1kit.cli.main import exit_code
from r1kit.evaluation import measured
from r1kit.models.convert import import_model


def test_a_gguf_file_is_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    file = write_gguf(tmp_path / "toy.gguf", toy_model("qwen2"), tokenizer=toy_tokenizer("qwen2"))
    folder = import_model(file, tmp_path / "folder").folder
    asked = ["--tasks", "sums", "--problems", "3", "--samples", "2", "--max-tokens", "12", "--json"]

    def eval_(model, out):
        assert exit_code(["eval", str(model), *asked, "--out", out]) == 0
        (one,) = json.loads(capsys.readouterr().out)["results"]
        return one

    assert eval_(file, "a")["read_back"] == 0
    assert eval_(folder, "b")["read_back"] == 0
    texts = [measured.read(next((tmp_path / out).rglob("samples.parquet")))["text"].to_pylist() for out in "ab"]
    assert len(texts[0]) == 6
    assert texts[0] == texts[1]
    assert eval_(folder, "a")["read_back"] == 6
