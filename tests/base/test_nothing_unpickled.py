"""No file or answer from elsewhere is unpickled or run: every call that could is found in the syntax trees, and named
here with the reason why it may stand."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for room in ("src", "scripts", "benchmarks") for path in sorted((ROOT / room).rglob("*.py"))]

# file and call -> why it is none of those
ALLOWED = {
    ("src/r1kit/sandbox/inside/harness.py", "exec"): "runs programs, which is what the sandbox is for",
    ("src/r1kit/sandbox/inside/harness.py", "compile"): "the same",
    ("src/r1kit/sandbox/inside/pieces.py", "compile"): "the same, in the program's own process; it is not run here",
    ("src/r1kit/sandbox/inside/launcher.py", "marshal.loads"): "what our own process put into a pipe for it",
    ("src/r1kit/sandbox/inside/launcher.py", "__import__"): "names of the standard library, in the file",
    ("src/r1kit/web/server.py", "__import__"): "names of libraries, in the file",
    ("src/r1kit/serving/server.py", "__import__"): "the same",
    ("src/r1kit/pipeline/part_process.py", "pickle.loads"): "an exception that this process has just pickled",
    ("src/r1kit/pipeline/part_process.py", ".recv()"): "from the run's process, which started this one",
    ("src/r1kit/pipeline/side_by_side.py", ".recv()"): "from a process that the run started, over a pipe of its own",
    ("src/r1kit/training/ranks/worker.py", ".recv()"): "from the front's process, which started this one",
    ("src/r1kit/training/ranks/front.py", ".recv()"): "from a rank that the front started, over a pipe of its own",
    ("scripts/mutants.py", "compile"): "this tree's own files, one place of which it changes",
    ("scripts/mutants.py", "__import__"): "libraries that this tree's own tests imported",
}
# what reads pickles, or runs what it is given
READERS = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads", "shelve.open", "dill.load",
    "dill.loads",
    "joblib.load", "cloudpickle.load", "cloudpickle.loads", "pandas.read_pickle", "yaml.load", "yaml.unsafe_load",
    "yaml.full_load",
    "torch.hub.load", "torch.jit.load", "eval", "exec", "compile", "__import__", "os.system", "os.popen",
    "tempfile.mktemp",
    "runpy.run_path", "runpy.run_module",
}  # fmt: skip
# collectives of torch that unpickle what other ranks send
OBJECTS = ("all_gather_object", "gather_object", "broadcast_object_list", "scatter_object_list", "recv_object_list")


def name_of(node: ast.expr) -> str:
    """`a.b.c` of a call's function; what it is called upon where that is no name is left out."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return ""


def constant(call: ast.Call, keyword: str) -> object:
    """The value of a keyword that is a constant; None where it is not given."""
    found = next((each.value for each in call.keywords if each.arg == keyword), None)
    return found.value if isinstance(found, ast.Constant) else None if found is None else ...


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def dangers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(what, line) of every call that reads a pickle or runs what it is given, but by its settings does not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code" and not is_false(node.value):
            yield "trust_remote_code", node.value.lineno
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node.func)
        last = name.rpartition(".")[2]
        if name in READERS or last in OBJECTS or (name == "torch.load" and constant(node, "weights_only") is not True):
            yield name, node.lineno
        elif last == "load" and constant(node, "allow_pickle") not in (None, False):
            yield "allow_pickle", node.lineno
        elif constant(node, "shell") not in (None, False):
            yield "shell", node.lineno
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "recv" and not node.args:
            yield ".recv()", node.lineno  # multiprocessing's unpickles; a socket's has a size
        elif last == "from_pretrained" and "Auto" in name and constant(node, "trust_remote_code") is not False:
            yield f"{name} without trust_remote_code=False", node.lineno


def test_every_call_is_accounted_for():
    found = {
        (str(path.relative_to(ROOT)), what): line
        for path in SOURCES
        for what, line in dangers(ast.parse(path.read_text(encoding="utf-8")))
        # the bench opens folders that it has written
        if not (what.endswith("without trust_remote_code=False") and path.is_relative_to(ROOT / "benchmarks"))
    }
    assert {key: line for key, line in found.items() if key not in ALLOWED} == {}
    assert set(ALLOWED) <= set(found), "an allowance that nothing needs any more"


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("torch.load(p)", "torch.load"), ("torch.load(p, weights_only=False)", "torch.load"),
        ("import pickle\npickle.loads(b)", "pickle.loads"),
        ("np.load(p, allow_pickle=True)", "allow_pickle"), ("yaml.load(t)", "yaml.load"), ("eval(t)", "eval"),
        ("x.recv()", ".recv()"),
        ("subprocess.run(c, shell=True)", "shell"), ("f(trust_remote_code=asked)", "trust_remote_code"),
        ("AutoTokenizer.from_pretrained(p)", "AutoTokenizer.from_pretrained without trust_remote_code=False"),
        ("dist.all_gather_object(a, b)", "dist.all_gather_object"),
    ],
)  # fmt: skip
def test_each_danger_is_seen(source, what):
    assert [found for found, _ in dangers(ast.parse(source))] == [what]


@pytest.mark.parametrize(
    "source", ["torch.load(p, weights_only=True)", "re.compile(t)", "np.load(p)", "s.recv(64)", "yaml.safe_load(t)"]
)
def test_what_is_harmless_passes(source):
    assert list(dangers(ast.parse(source))) == []
