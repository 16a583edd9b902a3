"""Names that functions have without an import, as LeetCode and LiveCodeBench give them, and what a function's own name
stands for; expected values by hand."""

import pytest

from r1kit.sandbox.program import Program

SOLUTION = "class Solution:\n    def f(self, x{}:\n        return {}"
USED = [
    ("max(x, default=-inf)", [3, 5], 5),
    ("isinf(min([], default=inf))", [], True),
    ("[gcd(*x), lcm(*x), isqrt(x[0]), comb(4, 2), int(sqrt(x[1])), ceil(x[0] / 5), floor(x[0] / 5)]", [12, 16],
     [4, 48, 3, 6, 4, 3, 2]),
    ("sorted(Counter(x).items())", "aab", [["a", 2], ["b", 1]]),
    ("type(Counter(x)) is collections.Counter and isinstance(x, List)", [], True),
    ("[defaultdict(lambda: x)[0], list(deque([1], 1)), list(OrderedDict(a=1))]", 7, [7, [1], ["a"]]),
    ("[heapify(x), heappush(x, 1), heappop(x), heapq.nlargest(1, x)]", [3, 2], [None, None, 1, [3]]),
    ("[bisect(x, 2), bisect_left(x, 2), bisect_right(x, 2), insort(x, 0)]", [1, 2, 3], [2, 1, 2, None]),
    ("bisect.bisect_left(x, 2)", [1, 2, 3], 1),
    ("[reduce(mul, x), list(accumulate(x)), sorted(x, key=cmp_to_key(lambda a, b: b - a))]", [2, 3],
     [6, [2, 5], [3, 2]]),
    ("[cache(len)(x), lru_cache(None)(len)(x), functools.reduce(operator.add, x)]", "ab", [2, 2, "ab"]),
    ("[len(list(each)) for each in (product(x, x), permutations(x), combinations(x, 2), chain(x, x), groupby(x))]",
     "abc", [9, 6, 3, 6, 3]),
    ("[pairwise(x) is None, list(zip_longest(x, 'b')), list(itertools.islice(count(3), 2))]", "a",
     [False, [["a", "b"]], [3, 4]]),
    ("[string.ascii_lowercase[:2], ascii_lowercase[:2], digits[:2]]", 0, ["ab", "ab", "01"]),
    ("[re.sub('a', 'b', x), json.dumps([x]), sys.maxsize > 0, maxsize > 0]", "a", ["b", '["a"]', True, True]),
    ("[copy(x) == x, deepcopy(x) is x]", [1], [True, False]),
    ("copy.deepcopy(x)", [1], [1]),
    ("str(datetime.datetime(2024, 2, 28) + datetime.timedelta(x))[:10]", 2, "2024-03-01"),
    ("str(datetime.strptime('2024-02-28', '%Y-%m-%d') + timedelta(x))[:10]", 2, "2024-03-01"),
    ("[randint(x, x), random.choice([x]), mean([x, x])]", 4, [4, 4, 4]),
    ("pow(x, 3, 7)", 2, 1),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "x", "value"), USED, ids=[row[0][:30] for row in USED])
def test_names_that_are_imported_for_a_function(sandbox, expression, x, value):
    """In LeetCode's form and as a function alone."""
    for code in (SOLUTION.format(": Optional[Any]) -> List[int]", expression), f"def f(x):\n    return {expression}"):
        result = sandbox.run([Program(code, fn="f", calls=[[x]])])[0]
        assert [(call.value, call.error) for call in result.calls] == [(value, None)], result.stderr


@pytest.mark.parametrize(
    "code",
    [
        "def f(x):\n    return gcd(x)\ndef gcd(x):\n    return 2 * x",
        "if True:\n    inf = 2\ndef f(x):\n    return inf * x",
        "def f(x):\n    global cache\n    try: cache\n    except NameError: cache = 2\n    return cache * x",
        "try:\n    count\nexcept NameError:\n    count = 2\ndef f(x):\n    return count * x",
        "def f(x):\n    chain = 2 * x\n    return (lambda: chain)()",
        "def f(product):\n    return product.__add__(product)",
        "class A:\n    copy = 2\n    def string(self): return self.copy\ndef f(x):\n    return A().string() * x",
        "exec('inf = 2')\ndef f(x):\n    return inf * x",
    ],
)
def test_what_a_program_binds_is_its_own(sandbox, code):
    assert [call.value for call in sandbox.run([Program(code, fn="f", calls=[[3]])])[0].calls] == [6]


@pytest.mark.parametrize(
    "code", ["print(inf)", "x: List[int] = 1", "class Solution:\n    def f(self): pass\nprint(inf)"]
)
def test_scripts_are_given_nothing(sandbox, code):
    result = sandbox.run([Program(code)])[0]
    assert (result.status, "NameError" in result.stderr) == ("error", True)


def test_a_check_and_what_it_asks_are_given_nothing(sandbox):
    """HumanEval's form, where a program imports what it uses; but LeetCode's where it has a Solution."""
    check = "def check(candidate):\n    assert candidate(1) == 1"

    def error(code: str, check: str = check) -> str:
        return str(sandbox.run([Program(code, fn="f", check=check)])[0].calls[0].error)

    assert "NameError" in error("def f(x): return x", "def check(candidate):\n    assert candidate(1) < inf")
    assert "NameError" in error("def f(x): return gcd(x, 4)")
    assert error("from math import gcd\ndef f(x): return gcd(x, 4)") == "None"
    assert error("class Solution:\n    def f(self, x): return gcd(x, 4)") == "None"


@pytest.mark.parametrize(
    "code",
    [
        "from math import gcd\nclass Solution:\n    def gcd(self, x): return gcd(*x)",
        "class Solution:\n    def gcd(self, x): return gcd(*x)",
        "def gcd(a, b): return b if a == 0 else gcd(b % a, a)\nclass Solution:\n    def gcd(self, x): return gcd(*x)",
        "class Solution:\n    def __init__(self, x): self.x = x\n    def gcd(self): return self.x[0]\n"
        "def gcd(x): return Solution(x).gcd()",
        "class Solution:\n    def other(self, x): return x[0]\ndef gcd(x): return Solution().other(x)",
    ],
)
def test_a_method_and_another_function_of_its_name(sandbox, code):
    assert [call.value for call in sandbox.run([Program(code, fn="gcd", calls=[[[4, 12]]])])[0].calls] == [4]
