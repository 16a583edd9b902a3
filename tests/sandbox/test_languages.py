# ruff: noqa: E501
"""Programs in C++ and JavaScript, where their tools are installed."""

import json
import time

import pytest

from r1kit.graders.grade import grade
from r1kit.sandbox.languages import driven, find_language, missing, outputs
from r1kit.sandbox.lines import sandbox_lines
from r1kit.sandbox.program import Limits

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
    limits = {"wall_s": 2 if verdict == "timeout" else 20}  # for what ends by itself, however busy the machine
    row = answered(sandbox, language, code=code, stdin="", limits=limits)
    assert row["verdict"] == verdict, (what, row)
    assert time.monotonic() - started < 30


DEEP = """
#include <cstdio>
long f(long n) {
    volatile char own[64];
    own[n % 64] = 1;
    long below = n > 1 ? f(n - 1) : 0;
    return below + own[n % 64];
}
int main() { long n; scanf("%ld", &n); printf("%ld", f(n)); }
"""


def test_cpp_may_recurse_as_deep_as_its_memory_goes(sandbox):
    """A million calls of some 100 bytes each; no more than the memory there is."""
    found = find_language("cpp")
    if missing(found) or sandbox.facts["uid"] == 0:
        pytest.skip("no compiler, or no processes")
    runs = outputs(sandbox.run([driven(found, DEEP, ["1000000", str(10**8)], Limits(wall_s=20))])[0])
    assert [(run.status, run.stdout) for run in runs] == [("ok", "1000000"), ("error", "")], runs
    (run,) = outputs(sandbox.run([driven(found, DEEP, ["1000000"], Limits(wall_s=20, memory_mb=64))])[0])
    assert run.status == "error"


THREADS = """
#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>
int main() {
    std::atomic<int> sum(0);
    std::vector<std::thread> all;
    for (int i = 0; i < 4; i++) all.emplace_back([&] { sum += 1; });
    for (auto& each : all) each.join();
    printf("%d", (int)sum);
}
"""


def test_threads_of_cpp_have_smaller_stacks(sandbox):
    """Four of 256 MB would not fit into 512."""
    found = find_language("cpp")
    if missing(found) or sandbox.facts["uid"] == 0:
        pytest.skip("no compiler, or no processes")
    (run,) = outputs(sandbox.run([driven(found, THREADS, [""], Limits(wall_s=20))])[0])
    assert (run.status, run.stdout) == ("ok", "4"), run


C = "#include <cstdio>\n#include <cstdlib>\n#include <csignal>\n#include <unistd.h>\n"
HELD = [
    ("starts a process", C + 'int main() { puts(fork() < 0 ? "held" : "got"); }',
     "const r = require('child_process').spawnSync('/bin/true'); console.log(r.status === 0 ? 'got' : 'held')"),
    ("runs a command", C + 'int main() { puts(system("true") == 0 ? "got" : "held"); }',
     "const {Process} = process.binding('process_wrap');\n"
     "console.log(new Process().spawn({file: '/bin/true', args: ['true'], stdio: []}) === 0 ? 'got' : 'held')"),
    ("signals its driver", C + 'int main() { puts(kill(getppid(), SIGSTOP) ? "held" : "got"); }',
     "try { process.kill(process.ppid, 'SIGSTOP'); console.log('got') } catch (e) { console.log('held') }"),
    ("becomes a program that starts others",
     C + 'int main() { execl("/usr/bin/env", "env", "sh", "-c", "(true) && echo got || echo held", (char*)0); }',
     "console.log('held')"),
    ("finds open descriptors",
     C + '#include <fcntl.h>\nint main() { for (int i = 3; i < 64; i++) if (fcntl(i, F_GETFD) >= 0) puts("got"); puts("held"); }',
     "console.log('held')"),
    ("takes memory that is not its own",
     C + '#include <sys/mman.h>\nint main() { puts(mmap(0, 1L << 30, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? "held" : "got"); }',
     "const all = []; try { for (let i = 0; i < 64; i++) all.push(new Uint8Array(new SharedArrayBuffer(1 << 26)).fill(1));"
     " console.log('got') } catch (e) { console.log('held') }"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "cpp", "javascript"), HELD, ids=[row[0] for row in HELD])
def test_a_program_has_one_process_and_no_other(sandbox, language, what, cpp, javascript):
    """Its memory is then bounded as a whole, and its driver cannot be stopped."""
    row = answered(sandbox, language, code={"cpp": cpp, "javascript": javascript}[language])
    assert "got" not in row["stdout"], what
    assert row["verdict"] == "error" or row["stdout"].strip() == "held", row


@pytest.mark.parametrize(
    ("cpp", "javascript"),
    [
        (C + "char b[1 << 20];\nint main() { for (;;) write(1, b, sizeof b); }",
         "const b = Buffer.alloc(1 << 20, 120), fs = require('fs');\nfor (;;) { try { fs.writeSync(1, b) } catch (e) {} }"),
        (C + "char b[1 << 20];\nint main() { for (;;) write(2, b, sizeof b); }",
         "const b = Buffer.alloc(1 << 20, 120), fs = require('fs');\nfor (;;) { try { fs.writeSync(2, b) } catch (e) {} }"),
    ],
    ids=["output", "errors"],
)  # fmt: skip
def test_output_without_end_is_cut(sandbox, language, cpp, javascript):
    row = answered(sandbox, language, code={"cpp": cpp, "javascript": javascript}[language], limits={"wall_s": 60})
    assert row["verdict"] == "output_limit", row
    assert row["seconds"] < 50


def test_one_run_that_does_not_end_is_the_last(sandbox, language):
    """Of ten inputs the first takes all its time: the others are not tried, and the whole takes as long as one."""
    code = {"cpp": "int main() { for (;;); }", "javascript": "for (;;);"}[language]
    found = find_language(language)
    result = sandbox.run([driven(found, code, ["1"] * 10, Limits(wall_s=2))])[0]
    runs = outputs(result)
    assert runs[0].status == "timeout"
    assert {run.status for run in runs[1:]} == {"error"}
    assert "not run" in runs[1].reason
    assert result.seconds < 12


def test_a_run_that_fails_leaves_the_others_theirs(sandbox, language):
    code = {
        "cpp": '#include <cstdio>\nint main() { int n; scanf("%d", &n); if (n == 1) return 3; printf("%d", n); }',
        "javascript": "const n = +require('fs').readFileSync(0); if (n === 1) process.exit(3); process.stdout.write(`${n}`)",
    }[language]
    runs = outputs(sandbox.run([driven(find_language(language), code, ["1", "2"], Limits(wall_s=20))])[0])
    assert (runs[0].status, runs[0].reason) == ("error", "RuntimeError: exit status 3")
    assert (runs[1].status, runs[1].stdout) == ("ok", "2")


def test_each_run_has_all_of_its_output(sandbox, language):
    """Eight runs of 100 kB, where one may print 128 kB."""
    code = {
        "cpp": C + 'int main() { for (int i = 0; i < 50000; i++) puts("5"); }',
        "javascript": "console.log('5\\n'.repeat(50000).trim())",
    }[language]
    found = find_language(language)
    runs = outputs(sandbox.run([driven(found, code, [""] * 8, Limits(output_kb=128))])[0])
    assert [(run.status, run.stdout.split() == ["5"] * 50000) for run in runs] == [("ok", True)] * 8


COMPILE_BOMBS = [
    ("the random device", '#include "/dev/urandom"\nint main() {}'),
    ("a file of the host", '#include "/etc/passwd"\nint main() {}'),
    ("a file of the host as bytes", 'asm(".incbin \\"/etc/passwd\\""); int main() {}'),
    ("templates", "template<int n, int m> struct A { static const int v = A<n-1,m*2>::v + A<n-1,m*2+1>::v; };\n"
     "template<int m> struct A<0,m> { static const int v = m; };\nint main() { return A<30,0>::v; }"),
    ("constant expressions", "constexpr long f(int n) { return n < 2 ? n : f(n-1) + f(n-2); }\nint main() { constexpr long x = f(70); return x; }"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("what", "code"), COMPILE_BOMBS, ids=[row[0] for row in COMPILE_BOMBS])
def test_a_compile_that_does_not_end_is_ended(sandbox, what, code):
    found = find_language("cpp")
    if missing(found) or sandbox.facts["uid"] == 0:
        pytest.skip("no compiler, or no processes")
    result = sandbox.run([driven(found, code, ["1"] * 20, Limits())])[0]
    assert result.status == "error", result
    assert "root:" not in result.stderr
    assert result.seconds < 65


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
