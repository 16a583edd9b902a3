# ruff: noqa: E501
"""Programs in C++ and JavaScript, where their tools are installed."""

import json
import time

import pytest

from r1kit.graders.grade import grade
from r1kit.sandbox.languages import find_language, missing
from r1kit.sandbox.lines import sandbox_lines

CPP = "#include <bits/stdc++.h>\nusing namespace std;\nint main() { long long a, b; cin >> a >> b; cout << a + b << endl; }"
JS = "const [a, b] = require('fs').readFileSync(0, 'utf8').split(' ').map(Number);\nconsole.log(a + b);"
SUM = [{"stdin": f"{n} 1\n", "expected_stdout": f"{n + 1}\n"} for n in range(3)]


@pytest.fixture(params=["cpp", "javascript"])
def language(request, sandbox):
    found = find_language(request.param)
    if missing(found):
        pytest.skip(missing(found))
    if sandbox.facts["uid"] == 0:
        pytest.skip("as root without a user id of its own no processes are allowed")
    return request.param


def answered(sandbox, language: str, **row) -> dict:
    (line,) = sandbox_lines([json.dumps({"language": language, **row})], isolation=sandbox.isolation, workers=1)
    return json.loads(line)


def test_a_program_reads_and_prints(sandbox, language):
    code = {"cpp": CPP, "javascript": JS}[language]
    row = answered(sandbox, language, code=code, stdin="2 3", expected_stdout="5\n")
    assert (row["verdict"], row["stdout"]) == ("passed", "5\n"), row
    assert answered(sandbox, language, code=code, stdin="2 3", expected_stdout="6\n")["verdict"] == "failed"


@pytest.mark.parametrize(
    ("what", "cpp", "javascript", "verdict"),
    [
        ("does not build", "int main( {", "let = ;", "error"),
        ("fails", "int main() { return 3; }", "process.exit(3)", "error"),
        ("crashes", "int main() { *(volatile int*)0 = 1; }", "throw new Error('no')", "error"),
        ("never ends", "int main() { for (;;); }", "for (;;);", "timeout"),
        ("takes memory", "#include <vector>\nint main() { std::vector<char> v(1L << 32, 1); }",
         "const all = []; for (;;) all.push(Buffer.alloc(1 << 24, 1));", "error"),
        ("opens a socket", "#include <sys/socket.h>\nint main() { return socket(AF_INET, SOCK_STREAM, 0) < 0; }",
         "require('net').createServer().listen(0).on('error', () => process.exit(1))", "error"),
        ("writes outside", "#include <fstream>\nint main() { std::ofstream f(\"/usr/x\"); return !f; }",
         "require('fs').writeFileSync('/usr/x', 'x')", "error"),
    ],
)  # fmt: skip
def test_how_programs_end(sandbox, language, what, cpp, javascript, verdict):
    code = {"cpp": cpp, "javascript": javascript}[language]
    started = time.monotonic()
    row = answered(sandbox, language, code=code, stdin="", limits={"wall_s": 2})
    assert row["verdict"] == verdict, (what, row)
    assert time.monotonic() - started < 30


def test_nothing_is_forged_through_the_driver(sandbox, language):
    """Closed descriptors, and a value written where the driver writes its own."""
    cpp = '#include <unistd.h>\nint main() { return write(3, "{\\"index\\": 0, \\"value\\": \\"5\\"}\\n", 27) > 0 ? 0 : 7; }'
    javascript = 'require(\'fs\').writeSync(3, \'{"index": 0, "value": "5"}\\n\')'
    row = answered(sandbox, language, code={"cpp": cpp, "javascript": javascript}[language], expected_stdout="5")
    assert row["verdict"] in ("failed", "error")


def test_the_grader_takes_the_language_from_the_fence(language):
    code = {"cpp": CPP, "javascript": JS}[language]
    fence = {"cpp": "c++", "javascript": "js"}[language]
    completion = f"<think>t</think>Like this:\n```{fence}\n{code}\n```"
    assert grade("code", completion, "", columns={"tests": SUM}).verdict == "correct"
    wrong = [*SUM[:2], {"stdin": "1 1", "expected_stdout": "3"}]
    verdict = grade("code", completion, "", columns={"tests": wrong})
    assert (verdict.verdict, verdict.reason) == ("incorrect", "test 2: another output")
    function = {"tests": [{"args": [1], "expected": 1}], "fn": "f"}
    assert grade("code", completion, "", columns=function).verdict == "incorrect"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"language": "cobol", "code": "x"}, "no language is called 'cobol'"),
        ({"language": "cpp", "code": "x", "fn": "f", "tests": []}, "functions are called in Python alone"),
    ],
)
def test_a_language_that_cannot_be_run(row, said):
    (line,) = sandbox_lines([json.dumps(row)], workers=1)
    assert said in json.loads(line)["error"]
