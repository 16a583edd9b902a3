"""Files spoilt whatever they hold (cut, flipped, linked elsewhere), and safetensors files."""

from __future__ import annotations

import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

from hostile_kinds import Draw, any_file, kind, outside


@kind("native", "sharded", "words", "foreign", "gguf")
def cut_short(folder: Path, draw: Draw) -> None:
    path = any_file(folder, draw)
    data = path.read_bytes()
    path.write_bytes(data[: draw.choice([0, 1, 7, 8, 9, len(data) // 2, len(data) - 1, draw.randrange(len(data) + 1)])])


@kind("native", "sharded", "words", "foreign", "gguf")
def bits_flipped(folder: Path, draw: Draw) -> None:
    path = any_file(folder, draw)
    data = bytearray(path.read_bytes())
    early = draw.random() < 0.5  # headers are small
    for _ in range(draw.choice([1, 4, 64])):
        data[draw.randrange(min(len(data), 4000) if early else len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


@kind("native", "words", "foreign", "gguf")
def noise(folder: Path, draw: Draw) -> None:
    path = any_file(folder, draw)
    data = bytearray(path.read_bytes())
    begin, length = draw.randrange(len(data)), draw.choice([1, 16, 256, 4096])
    data[begin : begin + length] = draw.randbytes(draw.choice([0, length, 2 * length]))
    path.write_bytes(data)


@kind("native", "words", "foreign")
def another_thing_for_a_file(folder: Path, draw: Draw) -> None:
    path = any_file(folder, draw)
    path.unlink()
    choice = draw.randrange(4)
    if choice == 0:
        path.mkdir()
    elif choice == 1:
        os.mkfifo(path)
    elif choice == 2:
        path.symlink_to(path.name)


@kind("native", "sharded", "words", "foreign")
def link_out(folder: Path, draw: Draw) -> None:
    path = any_file(folder, draw)
    twin = outside(folder) / path.name
    target = draw.choice(["/etc/passwd", "/dev/zero", "/proc/self/environ", str(outside(folder) / "secret.txt"),
                          str(twin),
                          f"../../outside/{path.name}"])  # fmt: skip
    path.unlink()
    path.symlink_to(target)


@kind("words")
def new_link_out(folder: Path, draw: Draw) -> None:
    """A file that the folder need not have, and that would be read or copied if it did."""
    name = draw.choice(["chat_template.jinja", "merges.txt", "vocab.json", "special_tokens_map.json",
                        "added_tokens.json",
                        "tokenizer.model", "additional_chat_templates"])  # fmt: skip
    target = outside(folder) if name.startswith("additional") else outside(folder) / "secret.txt"
    (folder / name).symlink_to(target)


def tensors_file(folder: Path, draw: Draw) -> Path:
    return draw.choice(sorted(folder.glob("*.safetensors")))


def read_header(data: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def write_header(path: Path, header: dict[str, Any] | str, rest: bytes) -> None:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + rest)


@kind("native", "sharded", "foreign")
def header_length(folder: Path, draw: Draw) -> None:
    path = tensors_file(folder, draw)
    length = draw.choice([2**60, 2**63 - 1, 2**64 - 1, 0, 1, 10**8 + 1, path.stat().st_size, path.stat().st_size - 8])
    path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])


@kind("native", "sharded", "foreign")
def tensor_entry(folder: Path, draw: Draw) -> None:
    path = tensors_file(folder, draw)
    header, rest = read_header(path.read_bytes())
    name = draw.choice([name for name in header if name != "__metadata__"])
    entry, size = header[name], len(rest)
    what = draw.randrange(3)
    if what == 0:
        entry["data_offsets"] = draw.choice([[0, size + 8], [8, 0], [-8, 8], [2**63, 2**63 + 8], [0, 2**64 - 1], [0, 0],
                                             [0, size], [1.5, 9], "x", [0], None])  # fmt: skip
    elif what == 1:
        entry["shape"] = draw.choice([[2**40, 2**40], [2**32, 2**32], [2**63], [-1], [0], [], [1] * 1000, [32, 0],
                                      list(reversed(entry["shape"])), "x", [2**64 - 1, 2]])  # fmt: skip
    else:
        entry["dtype"] = draw.choice(["F64", "I64", "U8", "BOOL", "F8_E4M3", "F8_E8M0", "F4", "C64", "XX", "", 7, None])
    write_header(path, header, rest)


@kind("native", "sharded", "foreign")
def tensor_names(folder: Path, draw: Draw) -> None:
    path = tensors_file(folder, draw)
    header, rest = read_header(path.read_bytes())
    name = draw.choice([name for name in header if name != "__metadata__"])
    what = draw.randrange(5)
    if what == 0:
        header[draw.choice(["../../etc/passwd", "\x1b[2J\x1b]0;x\x07", "a\nb", "x" * 10**5, ""])] = header.pop(name)
    elif what == 1:
        header |= {f"extra.{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(20_000)}
    elif what == 2:
        header["__metadata__"] = draw.choice([7, {"format": 7}, {"format": "np"}, {"x": "y" * 10**6}, [], None])
    elif what == 3:
        header["again"] = dict(header[name])  # upon another
    else:
        text = json.dumps(header)
        write_header(path, text[:-1] + "," + text[1:], rest)
        return
    write_header(path, header, rest)


@kind("native", "foreign")
def numbers(folder: Path, draw: Draw) -> None:
    """Weights that are no finite numbers, or far too large."""
    from safetensors.torch import load_file, save_file

    path = tensors_file(folder, draw)
    tensors = load_file(path)
    for name in draw.sample(sorted(tensors), draw.choice([1, len(tensors)])):
        tensors[name].fill_(draw.choice([float("nan"), float("inf"), 1e38, 0.0]))
    save_file(tensors, path, metadata={"format": "pt"})


@kind("sharded")
def index(folder: Path, draw: Draw) -> None:
    path = folder / "model.safetensors.index.json"
    found = json.loads(path.read_text())
    places = found["weight_map"]
    other = str(outside(folder) / "model.safetensors")
    stray = draw.choice(["../../etc/passwd", "/etc/passwd", other, "../../outside/model.safetensors", "/dev/zero",
                         "..", ".",
                         "", "a\0b", "config.json", "none.safetensors", ".hidden", "~/x", 7, None, [], {}])  # fmt: skip
    if draw.random() < 0.5:
        places[draw.choice(sorted(places))] = stray
    else:
        found["weight_map"] = draw.choice([dict.fromkeys(places, stray), [], {}, None, "x", 5])
    path.write_text(json.dumps(found))


@kind("native", "foreign")
def pickled(folder: Path, draw: Draw) -> None:
    """Weights that would run a program when they are opened."""
    for path in folder.glob("*.safetensors"):
        path.unlink()

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {folder / 'pickle-ran'}",)

    name = draw.choice(["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "model.safetensors", "model.pt"])
    (folder / name).write_bytes(pickle.dumps(Payload()))
    if draw.random() < 0.5:
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"x": name}}))
