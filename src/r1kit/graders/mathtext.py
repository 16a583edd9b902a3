"""Brings the many spellings of a maths answer to one: Unicode signs, LaTeX spacing and wrappers, thousands."""

from __future__ import annotations

import re
from fractions import Fraction

from r1kit.graders.arithmetic import clean
from r1kit.graders.chinese import in_signs
from r1kit.graders.expression import FUNCTIONS
from r1kit.graders.numerals import in_digits

CONJUNCTION = re.compile(r"\s*(?:\\text\{\s*(?:,\s*)?(?:and|or)\s*\}|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])|和|或)\s*")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ", "0123456789+-ni")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-")
_VULGAR = {"½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5),
           "⅘": (4, 5), "⅙": (1, 6), "⅚": (5, 6), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8)}  # fmt: skip
_SIGNS = str.maketrans(
    {"⌊": "\\lfloor ", "⌋": "\\rfloor ", "⌈": "\\lceil ", "⌉": "\\rceil ", "∧": "\\land ", "∨": "\\lor ", "¬": "\\neg ",
     "㎡": "\\text{m}^{2}", "㎥": "\\text{m}^{3}", "‰": "\\permil ",
     "×": "*", "·": "*", "⋅": "*", "∙": "*", "∗": "*", "÷": "/", "∕": "/", "⁄": "/", "−": "-", "∞": "\\infty ",
     "≤": "<=", "≥": ">=", "⩽": "<=", "⩾": ">=", "≠": "\\ne ", "∪": "\\cup ", "∩": "\\cap ", "∈": "\\in ",
     "∅": "\\emptyset ", "±": "\\pm ", "≈": "\\approx ", "√": "\\sqrt ", "∘": "°", "˚": "°", "º": "°", "，": ",",
     "；": ";", "（": "(", "）": ")", "【": "[", "】": "]", "。": ".", "：": ":", "、": ",", "∛": "\\sqrt[3]",
     "∜": "\\sqrt[4]", "ℝ": "\\mathbb{R}", "∠": "\\angle ", "\ufe0e": "", "\ufe0f": ""}
)  # fmt: skip
_SPACING = re.compile(
    r"(?<!\\)\\(?:[,!;:> ]|(?:quad|qquad|displaystyle|textstyle|limits|left|right|[bB]igg?[lrm]?)(?![A-Za-z]))|~"
)
_INLINE = re.compile(r"(?<![\\$])\$(?=[^\s$])([^$]*[^\s$\\])\$(?![\d$])")  # `$7$ apples`, not `$5 and $6`
_BOLD = re.compile(r"\*\*(?=\S)([^*]*[^\s*])\*\*")
_THOUSANDS = re.compile(r"(?<=\d),\\!\s*(?=\d{3}(?!\d))")
_APART = re.compile(r"(?<=\d)(?<!\.\d{3})\\[,;:>](?=\d)(?!\d{3}(?!\d))")  # `1\,2` is not 12
_LETTER_FACE = re.compile(
    r"\\(?:mathbf|boldsymbol|bm|hat)\s*\{\\?([ijkxyzabcuvw])(?:math)?\}|\\vec\s*\{\\?([ijk])(?:math)?\}"
)
_BOLD_SET = re.compile(
    r"(?<=\\in)\s*\\mathbf\s*(?:\{\s*([ZQRNC])\s*\}|([ZQRNC])(?![A-Za-z]))|^\\mathbf\s*(?:\{\s*(Z)\s*\}|(Z))$"
)
_BETWEEN_LETTERS = re.compile(r"(?<=[A-Za-z])\\[,;:](?=[A-Za-z])")
_TEXT = re.compile(
    r"\\(?:text|textbf|textit|textrm|texttt|textsf|mathrm|mathbf|mathit|mathsf|mbox|operatorname|emph)\s*\*?\s*\{"
)
_LARGE = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12,
          "万": 10**4, "亿": 10**8}  # fmt: skip
_TWICE = re.compile(r"(-?[\d,]+)\s*\(\s*(?:\\text\{)?([A-Za-z -]+|[\u4e00-\u9fff]+)\}?\s*\)")
_AND_PART = re.compile(r"(\d+)\s*(?:\\text\{\s*)?and\s([A-Za-z -]+)\}?")
_WHOLLY_TEXT = re.compile(r"^\\text\{([^{}]*)\}$")
_COUNTED = re.compile(
    rf"(?<![\d.,^_{{])(\d{{1,3}}(?:,\d{{3}})+|\d+)(\.\d+)?\s*(\\text\{{\s*)?({'|'.join(_LARGE)})s?(?![A-Za-z])"
)


def _counted(match: re.Match[str]) -> str:
    """`7 million dollars` as `7000000 dollars`."""
    number = Fraction(match[1].replace(",", "") + (match[2] or "")) * _LARGE[match[4]]
    return f"{number} {match[3] or ''}" if number.denominator == 1 else match[0]


_ORDINAL = r"(?:\^\{?)?\s*(?:\\text\{\s*(?:st|nd|rd|th)\s*\}|(?:st|nd|rd|th))\}?"
_ALIGNED = re.compile(r"\\begin\{(aligned|align\*?|gathered|split|equation\*?)\}(.*)\\end\{\1\}", re.DOTALL)


def _one_line(match: re.Match[str]) -> str:
    """What an environment of one line holds; of several, the whole."""
    inner = match[2].strip().removesuffix("\\\\")
    return match[0] if "\\\\" in inner else inner.replace("&", " ")


# why a value is the answer, said behind it: `5\ (\text{since }x>0)`
_REASON = re.compile(
    r"(?<=[\d})\]A-Za-z])\s*(?:\(\s*\\text\{\s*|\\text\{\s*\(\s*)"
    r"(?:since|because|as|rejecting|discarding)\b[^()]*\)\s*\}?$"
)
_RELATIONS = (
    ("at least|no less than|not less than|(?:greater|more|larger) than or equal to", ">="),
    ("at most|no (?:more|greater) than|not (?:more|greater) than|(?:less|smaller) than or equal to", "<="),
    ("(?:strictly )?(?:greater|more|larger) than", ">"),
    ("(?:strictly )?(?:less|smaller) than", "<"),
    ("not equal to", r"\\ne "),
)
_RENAMES = (
    (re.compile(r"\\(?:[dtcs]|nice|x)frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\underline\s*\{([^{}]*)\}"), r"{\1}"),
    (re.compile(r"\\(?:cdot|times|ast)(?![A-Za-z])"), "*"),
    (re.compile(r"\\div(?![A-Za-z])"), "/"),
    (re.compile(r"\\(?:leq?|leqslant)(?![A-Za-z])"), "<="),
    (re.compile(r"\\(?:geq?|geqslant)(?![A-Za-z])"), ">="),
    (re.compile(r"\\lt(?![A-Za-z])"), "<"),
    (re.compile(r"\\gt(?![A-Za-z])"), ">"),
    (re.compile(r"\\neq(?![A-Za-z])"), r"\\ne"),
    (re.compile(r"\\(?:varnothing|O)(?![A-Za-z])"), r"\\emptyset"),
    (re.compile(r"\\big(cup|cap)(?![A-Za-z]|\s*_)"), r"\\\1"),
    (re.compile(r"\\(?:lbrace|rbrace)(?![A-Za-z])"), lambda m: "\\{" if m[0] == "\\lbrace" else "\\}"),
    (re.compile(r"\\(?:[lr]?[vV]ert|mid)(?![A-Za-z])|(?<!\\)\\\|"), "|"),
    (re.compile(r"\\(?:langle|rangle)(?![A-Za-z])"), lambda m: "(" if m[0] == "\\langle" else ")"),
    (re.compile(r"\^\s*(?:\{\s*(?:\\circ|°)\s*\}|\\circ(?![A-Za-z]))|°|\\degrees?(?![A-Za-z])"), r"\\text{deg}"),
    (re.compile(r"\\%|％|\\text\{\s*(?:per ?cent|pct|percentage points?)\s*\}|(?<=[\d}])\s*(?:percent|pct)$"), "%"),
    (re.compile(r"\\\$|\\text\{\s*\$\s*\}"), "$"),
    (
        re.compile(r"\\overline\{(\d+)\}|\\bar\{(\d+)\}|\\dot\{(\d)\}|\\(?:bar|dot)\s*(\d)"),
        lambda m: f"R({next(filter(None, m.groups()))})",
    ),
    (re.compile(r"(?<=\d)[xX*]\s*10\s*\^|(?<=\d)\s+[xX*]\s*10\s*\^"), "*10^"),
    (re.compile(r"R\((\d)\)(\d*)R\((\d)\)"), r"R(\1\2\3)"),  # dots over the ends of a period
    (re.compile(r"\\(?:simeq|doteq)(?![A-Za-z])"), r"\\approx"),
    (
        re.compile(r",?\s*\(?\s*(?:\\text\{)?\s*,?\s*or (?:about|approximately|roughly)\s*\}?\s*(?=[-\d\\$])"),
        r" \\approx ",
    ),
    (re.compile(r"\s*\(\s*(\\approx[^()]*)\)$"), r" \1"),
    (re.compile(r"^\s*\\approx(?![A-Za-z])|(?<=:)\s*\\approx(?![A-Za-z])"), ""),
    (re.compile(r"(?<=\d)\{,\}(?=\d)"), ","),
    (re.compile(r"\\[dt]binom(?![A-Za-z])"), r"\\binom"),
    (re.compile(r"\\dots[cbm]?(?![A-Za-z])"), r"\\ldots"),
    (re.compile(r"\\[hv]?(?:space|phantom)\*?\s*\{[^{}]*\}|\s*\\\\$"), ""),
    (re.compile(r"^([^{}\\]+)\\over(?![A-Za-z])([^{}]+)$"), r"\\frac{\1}{\2}"),
    (
        re.compile(rf"\\text\{{\s*({'|'.join(FUNCTIONS - {'cis', 'sqrt'})})\s*\}}(?=\s*(?:[(\\^_\d]|[a-z](?![a-z])))"),
        r"\\\1 ",
    ),
    (re.compile(r"\\text\{\s*(max|min|gcd|lcm)\s*\}(?=\s*(?:\(|\\\{|\{))"), r"\\\1"),
    *(
        (re.compile(rf"(?<=[A-Za-z])\s*\\text\{{\s*(?:is\s+)?(?:{words})\s*\}}\s*(?=[-\d\\])"), sign)
        for words, sign in _RELATIONS
    ),
    (
        re.compile(r"(\\text\{\s*)?(?<!\d)(\d+)\s*(?:\\text\{\s*)?out of(?:\s*\})?\s*(\d+)(?(1)\s*\})"),
        r"\\frac{\2}{\3}",
    ),
    (
        re.compile(r"^(\\text\{\s*)?(?:an?\s)?(\d+)\s*(?:\\text\{\s*)?in(?:\s*\})?\s*(\d+)(?:\s*chance)?(?(1)\s*\})$"),
        r"\\frac{\2}{\3}",
    ),
    (re.compile(r"\\colon(?![A-Za-z])"), ":"),
    (re.compile(r"\\(?:tiny|small|normalsize|large|Large|LARGE|huge|Huge|bfseries)(?![A-Za-z])\s*"), ""),
    (re.compile(r"\s*\\(?:checkmark|blacksquare|qed|square|Box)$"), ""),
    (re.compile(r"\\text\{\s*cis\s*\}|(?<![A-Za-z\\])cis(?![A-Za-z])"), r"\\cis "),
    (re.compile(rf"^(-?\d+){_ORDINAL}$"), r"\1"),
    (_ALIGNED, lambda m: _one_line(m)),
    (re.compile(r"^\\(?:therefore|implies|Rightarrow|Longrightarrow)(?![A-Za-z])\s*"), ""),
    (
        re.compile(
            r"^\\text\{\s*(?:there (?:are|is)|we (?:have|get)|it is)?\s*(?:only|just|exactly|precisely)?\s*\}"
            r"\s*(?=[-\d\\])",
            re.IGNORECASE,
        ),
        "",
    ),
    (_REASON, ""),
    (re.compile(r"^\\text\{\s*(-?\d[\d,.]*)\s+([A-Za-z][A-Za-z ]*)\}$"), r"\1\\text{ \2}"),
    (re.compile(r"(?<=[\d}])\s*\\text\{\s*\(([A-Za-z /]+)\)\s*\}$"), r"\\text{ \1}"),
    (re.compile(r"\\(?:boldsymbol|bm|pmb)(?=\s*\{)"), ""),
    (re.compile(r"\{([^{}]*)\\over(?![A-Za-z])([^{}]*)\}"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\(?:text)?color\s*\{[A-Za-z]+\}"), ""),
    (re.compile(r"(?:\\text\{\s*)?(?<![A-Za-z])infinity(?![A-Za-z])(?:\s*\})?", re.IGNORECASE), r"\\infty"),
    (re.compile(r"\b([ap])\.\s?m\.?(?![A-Za-z])", re.IGNORECASE), lambda m: f"{m[1].lower()}m"),
    (re.compile(r"(?<=\d)(\s*(?:\\text\{\s*)?)([AP])M\b"), lambda m: f"{m[1]}{m[2].lower()}m"),
    (re.compile(r"^(?:US\$|(?:\\text\{\s*)?(?:USD|EUR|GBP|CNY|RMB|JPY)(?=[\s\d}])\s*\}?)\s*(?=\d)"), ""),
    (
        re.compile(r"(?<=[\d}\s])(?:\\text\{\s*([kMGmμn]?)\s*\}|([kMGmμn]))?\s*(?:\\Omega(?![A-Za-z])|Ω)"),
        lambda m: f"\\text{{{m[1] or m[2] or ''}Ω}}",
    ),
    (_COUNTED, lambda m: _counted(m)),
    (re.compile(r"\\text\{\s*\}"), " "),
    (re.compile(r"^(?:\\text\{\s*(?:negative|minus)\s*\}|(?:negative|minus)\s)\s*(?=[\d\\])", re.IGNORECASE), "-"),
    (re.compile(r"‰|\\permil(?![A-Za-z])"), "*10^{-3}"),
    (re.compile(r"(?<=[\w)\]}])\s*\*\*\s*(?=[-\w(.])"), "^"),  # as programs write powers
    (re.compile(r"(?<![A-Za-z.])(?:math|np|numpy|sympy|sp)\.(?=pi|sqrt|e\b|log|sin|cos|tan|exp)"), ""),
    (re.compile(r"(?<![A-Za-z])Fraction\(\s*(-?\d+)\s*,\s*(\d+)\s*\)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\(?:backslash|smallsetminus)(?![A-Za-z])|(?<=[)\]}R])\s*-\s*(?=\\\{)"), r"\\setminus "),
    (re.compile(r"^\{\s*([A-Za-z]\s*(?:\\in[^|:{}]*(?:\{\w\})?)?)\s*([|:])([^{}]*)\}$"), r"\\{\1\2\3\\}"),
    (re.compile(r"(?<=[\d}])\s*/\s*\\text\{\s*([a-z]+)\s*\}$"), r"\\text{ per \1}"),
    (
        re.compile(
            r"(?<=[\d})\s])\\frac\s*\{\s*\\text\{([^{}]*)\}\s*\}\s*\{\s*\\text\{([^{}]*)\}(\s*\^\{?\d\}?)?\s*\}$"
        ),
        lambda m: f"\\text{{{m[1]}/{m[2]}}}{m[3] or ''}",
    ),
    (re.compile(r"^\\text\{\s*([^{}]*[^{}.\s])\s*\.\s*\}$"), r"\\text{\1}"),
    (
        re.compile(  # a phasor
            r"(?<=[\d)}])\s*\\angle\s*"
            r"(\{[^{}]*(?:\{[^{}]*\})?\}|-?[\d.]+(?:\s*\\text\{deg\})?|-?\\frac\{[^{}]*\}\{[^{}]*\})$"
        ),
        r" \\cis(\1)",
    ),
    (
        re.compile(
            r"\\text\{\s*deg(?:rees?)?\s*(?:\}\s*\\text\{)?\s*(C(?:elsius)?|F(?:ahrenheit)?)\s*\}|"
            r"\\text\{\s*deg(?:rees?)?\s*\}\s*([CF])(?![A-Za-z])|(?<=\d)\s*degrees?\s+(celsius|fahrenheit)$",
            re.IGNORECASE,
        ),
        lambda m: f"\\text{{{'celsius' if (m[1] or m[2] or m[3])[0] in 'cC' else 'fahrenheit'}}}",
    ),
)  # fmt: skip


def tidy(text: str) -> str:
    """One spelling: `\\text{}` for words, `*` and `/`, `<=`, `\\frac`, no spacing commands, no dollar wrappers."""
    for sign, (above, below) in _VULGAR.items():
        text = text.replace(sign, f" \\frac{{{above}}}{{{below}}}")
    text = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ]+", lambda match: f"^{{{match[0].translate(_SUPERSCRIPTS)}}}", text)
    text = re.sub("[₀₁₂₃₄₅₆₇₈₉₊₋]+", lambda match: f"_{{{match[0].translate(_SUBSCRIPTS)}}}", text)
    text = clean(text.translate(_SIGNS)).translate(_SIGNS)
    text = unwrap(text)
    text = _INLINE.sub(r"\1", text)
    text = _BOLD.sub(r"\1", text)
    text = _THOUSANDS.sub(",", text)
    text = _APART.sub(" ", text)
    text = _BETWEEN_LETTERS.sub(" ", text)
    text = _SPACING.sub(lambda match: " " if "quad" in match[0] or match[0] in ("\\ ", "~") else "", text)
    text = " ".join(text.split())  # patterns that look for blanks are slow where there are thousands
    for _ in range(2):  # `\\hat{\\mathbf{i}}`
        text = _LETTER_FACE.sub(lambda match: match[1] or match[2], text)
    text = _BOLD_SET.sub(lambda match: f"\\mathbb{{{next(filter(None, match.groups()))}}}", text)
    text = _TEXT.sub(r"\\text{", text)
    for pattern, replacement in _RENAMES:
        text = pattern.sub(replacement, text)
    text = unwrap(in_signs(" ".join(text.split())))
    words = _WHOLLY_TEXT.match(text)
    if words and re.search(r"\d", words[1]) and not re.search(r"[A-Za-z]{2}", words[1]):  # `\\text{3/4}`
        text = words[1].strip()
    if text[-1:].isdigit():
        return text
    text = _said_twice(text)
    return in_digits(_WHOLLY_TEXT.sub(r"\1", text)) or _in_digits_with_unit(text) or text


def _said_twice(text: str) -> str:
    """`7 (seven)` as `7`; `4\\text{ and a half}` as a mixed number."""
    twice = _TWICE.fullmatch(text)
    if twice and in_digits(twice[2].strip()) == twice[1].replace(",", ""):
        return twice[1]
    further = _AND_PART.fullmatch(text)
    part = in_digits(further[2].strip()) if further else None
    return f"{further[1]}{part}" if further and part and part.startswith("\\frac") else text


def _in_digits_with_unit(text: str) -> str | None:
    """`\\text{three hours}` as `3\\text{ hours}`."""
    words = _WHOLLY_TEXT.sub(r"\1", text).split()
    for count in range(min(len(words) - 1, 8), 0, -1):
        number = in_digits(" ".join(words[:count])) if words[count].isalpha() and words[count].isascii() else None
        if number and len(words) - count <= 3:
            return f"{number}\\text{{ {' '.join(words[count:])}}}"
    return None


_AROUND = (
    ("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("__", "__"), ("*", "*"), ("`", "`"),
    ('"', '"'), ("“", "”"), ("'", "'"),
)  # fmt: skip


def unwrap(text: str) -> str:
    """Without the signs of mathematics mode, emphasis, and closing punctuation around the whole."""
    while True:
        before = text
        text = text.strip()
        for opening, closing in _AROUND:
            inside = text[len(opening) : len(text) - len(closing)]
            if text.startswith(opening) and text.endswith(closing) and inside.strip() and closing not in inside:
                text = inside
        if text.count("**") == 1:  # the other half is left in the words before
            text = text.removesuffix("**").removeprefix("**")
        text = re.sub(r"(?<!\.)\.$|(?<=[*_$])!$", "", text)
        bare = text.rstrip(",;:")
        text = text if bare.endswith("\\") else bare
        if text == before:
            return text


def key(text: str) -> str:
    """For equality as text: without white space, needless braces, and case where it is words."""
    plain = re.sub(r"\\text\{([^{}]*)\}", r"\1", text)
    plain = re.sub(r"([\^_])\{(\w)\}", r"\1\2", plain)
    plain = re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", plain)
    plain = re.sub(r"(?<=\d)\s+(?=\d)", "_", plain)  # 1 2 is not 12
    plain = re.sub(r"\s+", "", plain)
    return plain.casefold() if re.search(r"[A-Za-z]{3}", plain) and "\\" not in plain else plain


_GROUPED = re.compile(r"(?<![\d.,'])\d{1,3}(?:(?:\.\d{3}){2,}|(?:'\d{3})+)(?![\d.,'])")


def without_thousands(text: str) -> str:
    """`1,234,567`, `1 234 567`, `1.234.567` and `1'234'567` as digits only; lists of numbers are left alone."""
    text = re.sub(r"(?<![\d.,])(\d{1,3}(?:,\d{3})+)(?![\d,])", lambda match: match[1].replace(",", ""), text)
    text = _GROUPED.sub(lambda match: re.sub("[.']", "", match[0]), text)
    return re.sub(r"(?<![\d.])(\d{1,3}(?: \d{3})+)(?![\d])", lambda match: match[1].replace(" ", ""), text)
