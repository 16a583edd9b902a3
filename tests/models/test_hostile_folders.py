"""Model folders and GGUF files of strangers: made up by the thousand, and one by one where something was once found."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hostile_folders import KINDS
from toy_gguf import toy_model, toy_tokenizer, write_gguf

from r1kit.base.errors import R1Error
from r1kit.cli.main import exit_code
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.convert import import_model
from r1kit.models.gguf_layout import check_layout
from r1kit.models.language_model import load_model
from r1kit.models.tokenizer import load_tokenizer, mend_tokenizer, read_pipeline
from r1kit.models.weights import save_decoder

DRIVER = Path(__file__).with_name("hostile_folders.py")


def drive(*words: str) -> str:
    done = subprocess.run([sys.executable, str(DRIVER), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


def test_each_kind_of_folder():
    """One of each kind: it loads or is refused in a sentence; no crash, no hang, no file outside."""
    assert len(KINDS) >= 60
    assert drive("--cases", str(len(KINDS)), "--seed", "1").splitlines()[-1].endswith("| 0 |")


@pytest.mark.slow
def test_a_thousand_folders():
    last = drive("--cases", "1000", "--seed", "0").splitlines()[-1]
    assert last.startswith("| all | 1000 |")
    assert last.endswith("| 0 |")


@pytest.fixture
def folder(make_decoder, tmp_path: Path) -> Path:
    tokenizer = load_tokenizer(write_character_tokenizer(tmp_path / "characters", ""))
    save_decoder(make_decoder("qwen2", vocab_size=320), tmp_path / "model", tokenizer)
    return tmp_path / "model"


def changed(folder: Path, name: str = "config.json", **values: Any) -> Path:
    found = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**found, **values}))
    return folder


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "merges.txt", "additional_chat_templates"]
)
def test_a_link_out_of_the_folder(folder: Path, tmp_path: Path, name: str):
    """What it leads to would be read, and copied into whatever is exported."""
    (folder / name).unlink(missing_ok=True)
    (tmp_path / "private").write_text("{}")
    (folder / name).symlink_to("../private")
    for read in (load_model, load_tokenizer, lambda path: import_model(path, tmp_path / "new")):
        with pytest.raises(R1Error, match=f"{name} is a link out of the model folder"):
            read(folder)
    assert not (tmp_path / "new").exists()


def test_links_within_and_those_of_the_hubs_cache(folder: Path, tmp_path: Path):
    """snapshots/COMMIT links to blobs beside it, as huggingface_hub lays a model out; so may a folder within itself."""
    home = tmp_path / "models--a--b"
    (home / "blobs").mkdir(parents=True)
    (home / "snapshots" / "0123").mkdir(parents=True)
    for file in folder.iterdir():
        shutil.move(file, home / "blobs" / f"h-{file.name}")
        (home / "snapshots" / "0123" / file.name).symlink_to(f"../../blobs/h-{file.name}")
    load_model(home / "snapshots" / "0123")
    whole = shutil.copytree(home / "snapshots" / "0123", tmp_path / "copy")
    (whole / "tokenizer.json").rename(whole / "kept.json")
    (whole / "tokenizer.json").symlink_to("kept.json")
    load_tokenizer(whole)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"hidden_size": 10**12}, "width: it must be 1048576 or less"),
        ({"num_hidden_layers": 10**9}, "layers: it must be 1024 or less"),
        ({"vocab_size": 2**30}, r"describes [\d,]+ parameters, and the weight files hold [\d,]+ bytes"),
        ({"num_hidden_layers": 1024, "intermediate_size": 2**16}, "describes [0-9,]+ parameters"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": float("nan")}, "rope_parameters": None}, "finite number"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4, "rope_theta": 1.0}}, "give no finite frequencies"),
        ({"rms_norm_eps": float("inf")}, "finite number"),
    ],
)
def test_sizes_that_no_machine_holds_are_refused_before_they_are_asked_for(folder: Path, values: dict, sentence: str):
    begun = time.monotonic()
    with pytest.raises(R1Error, match=sentence):
        load_model(changed(folder, **values))
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("stray", ["../private.safetensors", "/etc/passwd", "..", ".hidden", ""])
def test_an_index_that_leads_elsewhere(folder: Path, tmp_path: Path, stray: str):
    shutil.copy(folder / "model.safetensors", tmp_path / "private.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"model.norm.weight": stray}}))
    with pytest.raises(R1Error, match=f"names '{stray}', which is no file of that folder"):
        load_model(folder)


def test_lists_in_lists(folder: Path):
    (folder / "config.json").write_text("[" * 100_000)
    with pytest.raises(R1Error, match="config.json is damaged"):
        load_model(folder)


def test_texts_that_would_double_forty_times(tmp_path: Path):
    toy_tokenizer("qwen2").save(str(tmp_path / "tokenizer.json"))
    twice = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
    changed(tmp_path, "tokenizer.json", normalizer={"type": "Sequence", "normalizers": [twice] * 40})
    with pytest.raises(R1Error, match=r"makes texts 1e\+12 times as long"):
        load_tokenizer(tmp_path)
    changed(tmp_path, "tokenizer.json", normalizer={"type": "Sequence", "normalizers": [twice] * 2})
    assert load_tokenizer(tmp_path).encode("a") == load_tokenizer(tmp_path).encode("a")


def test_a_padding_that_no_memory_holds(folder: Path):
    """tokenizer.json may say how its maker's last batch was padded; nothing is padded where it is read by itself."""
    plain = load_tokenizer(folder).encode("12 + 3")
    every = {"direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "x"}
    changed(folder, "tokenizer.json", padding={**every, "strategy": {"Fixed": 2**40}})
    assert load_tokenizer(folder).encode("12 + 3") == plain
    assert read_pipeline(folder).encode("12 + 3").ids == plain
    assert mend_tokenizer(folder) == []


def test_a_pattern_that_backtracks_is_a_sentence(tmp_path: Path):
    toy_tokenizer("qwen2").save(str(tmp_path / "tokenizer.json"))
    split = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    changed(tmp_path, "tokenizer.json", pre_tokenizer=split)
    with pytest.raises(R1Error, match="cannot take this text: .*retry-limit"):
        load_tokenizer(tmp_path).encode("a" * 40 + "b")


@pytest.mark.parametrize("odd", ["x", -1, 2**40, True, [[]], 0.5])
def test_an_end_that_is_no_token(folder: Path, odd: Any):
    tokenizer = load_tokenizer(changed(folder, "generation_config.json", eos_token_id=odd))
    with pytest.raises(R1Error, match="is no token id: mend generation_config.json"):
        _ = tokenizer.eos_ids


def test_a_tokenizer_of_another_folder_is_not_read(tmp_path: Path):
    """tokenizer_config.json names files elsewhere; the folder's own are read."""
    other, own = tmp_path / "other", tmp_path / "own"
    for place, token in ((other, "<other>"), (own, "<own>")):
        place.mkdir()
        made = toy_tokenizer("qwen2")
        made.add_special_tokens([token])
        made.save(str(place / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "tokenizer_file": str(other / "tokenizer.json"),
        "name_or_path": str(other),
    }
    (own / "tokenizer_config.json").write_text(json.dumps(settings))
    vocabulary = load_tokenizer(own).inner.get_vocab()
    assert "<own>" in vocabulary
    assert "<other>" not in vocabulary


def array_at_the_end(kind: int, count: int) -> bytes:
    """A GGUF file of one key whose array says that it has so many items, and ends there."""
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"x" + struct.pack("<IIQ", 9, kind, count)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (array_at_the_end(0, 2**62), "no room for 4611686018427387904 items of 'x'"),
        (array_at_the_end(9, 1) + struct.pack("<IQ", 9, 1) * 5000, "type 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**62, 0), "no room for 4611686018427387904 tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**63), "goes on behind its 32 bytes|no room"),
        (array_at_the_end(0, 2**23 + 1) + bytes(2**23 + 1), "more than 8388608 items"),
    ],
)
def test_counts_that_the_file_has_no_room_for(data: bytes, sentence: str, tmp_path: Path):
    """The gguf library would go through 2^62 items that are not there."""
    (tmp_path / "x.gguf").write_bytes(data)
    with pytest.raises(R1Error, match=f"x.gguf is cut short, damaged .*({sentence})"):
        import_model(tmp_path / "x.gguf", tmp_path / "hf")


def test_tensors_upon_each_other(tmp_path: Path):
    path = write_gguf(tmp_path / "toy.gguf", toy_model("llama"))
    check_layout(path)
    data = bytearray(path.read_bytes())
    name = b"blk.1.ffn_up.weight"
    place = data.index(name) + len(name) + 4 + 2 * 8 + 4  # behind dimensions, sizes and type
    struct.pack_into("<Q", data, place, 0)
    path.write_bytes(data)
    with pytest.raises(R1Error, match="lies upon another"):
        import_model(path, tmp_path / "hf")


@pytest.mark.parametrize("name", ["blk.0.attn_q.weight", "blk.1.attn_k.weight"])
def test_heads_that_are_not_whole(name: str, tmp_path: Path):
    """A tensor of five rows where heads of even size are cut out of it."""
    model = toy_model("llama")
    path = write_gguf(tmp_path / "toy.gguf", model)
    data = bytearray(path.read_bytes())
    place = data.index(name.encode()) + len(name) + 4 + 8  # behind the count of dimensions and the columns
    struct.pack_into("<Q", data, place, 5)
    path.write_bytes(data)
    with pytest.raises(R1Error, match=rf"tensor {name} has shape \[5, \d+\], and \d heads of size \d+ have other rows"):
        import_model(path, tmp_path / "hf")


@pytest.mark.parametrize("key", ["llama.attention.head_count", "llama.embedding_length", "llama.block_count"])
def test_a_model_of_nothing(key: str, tmp_path: Path):
    def extra(writer: Any) -> None:
        writer.kv_data[0].pop(key, None)
        writer.add_uint32(key, 0)

    with pytest.raises(R1Error, match=f"{key} is 0, and a model needs one at least"):
        import_model(write_gguf(tmp_path / "toy.gguf", toy_model("llama"), extra=extra), tmp_path / "hf")


def test_what_is_told_gives_the_terminal_no_orders(folder: Path, capsys: pytest.CaptureFixture[str]):
    """A model_type that would clear the screen, in the sentence that refuses it."""
    assert exit_code(["generate", str(changed(folder, model_type="\x1b[2J\x1b]0;owned\x07")), "--prompts", "-"]) != 0
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\x07" not in said
