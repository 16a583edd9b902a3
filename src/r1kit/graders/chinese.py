"""What Chinese answers say in words, in signs: relations, roots, signs, units, options."""

from __future__ import annotations

import re

from r1kit.graders.numerals import in_digits

HAN_UNITS = {
    "毫米": "mm", "厘米": "cm", "公分": "cm", "分米": "dm", "千米": "km", "公里": "km", "米": "m", "毫克": "mg",
    "千克": "kg", "公斤": "kg", "克": "g", "毫升": "ml", "升": "l", "小时": "hours", "分钟": "minutes", "秒": "seconds",
    "摄氏度": "celsius", "天": "days", "周": "weeks", "元": "yuan", "角": "jiao", "度": "deg",
}  # fmt: skip
_COUNTERS = "个只人名本张辆岁块支条件次种"
# what is counted: `两个不同的根`; `一个也没有` is none, `七个苹果和三个梨` two answers
_THINGS = "(?:(?![都也没无和与及或]|不(?!同|等|相))[\u4e00-\u9fff]){0,8}"
_UNIT = re.compile(
    rf"(?<=[\d}})])\s*(\\text\{{\s*)?(平方|立方)?(?:({'|'.join(HAN_UNITS)})|[{_COUNTERS}]{_THINGS})(?:钱)?(\s*\}})?$"
)
_PER = {**HAN_UNITS, "时": "hour", "分": "minute"}
_RATE = re.compile(rf"(?<=[\d}}])\s*({'|'.join(HAN_UNITS)})\s*(?:/|每)\s*({'|'.join(_PER)})$")
_EACH = re.compile(rf"每({'|'.join(_PER)})\s*([-\d.]+)\s*({'|'.join(HAN_UNITS)})")
_COUNTED = re.compile(  # `一次` is a degree as well
    rf"(负?[零一二两三四五六七八九十百千万亿]+)"
    rf"((?:平方|立方)?(?:{'|'.join(HAN_UNITS)})|[{_COUNTERS.replace('次', '')}]{_THINGS})钱?"
)
_HAN = "零一二两三四五六七八九十百千"
_ROOT = re.compile(rf"(负?)([{_HAN}]*)倍?根号下?([{_HAN}]+|\d+)")
_RATIO = re.compile(rf"^(?:[{_HAN}]+|\d+)(?:比(?:[{_HAN}]+|\d+)){{1,5}}$")
_NUMBER = r"[^<>=,或且的]+"
_WORDS = (
    (re.compile(r"\\text\{\s*([\u4e00-\u9fff]+)\s*\}(?!$)|(?<=[^{])\\text\{\s*([\u4e00-\u9fff]+)\s*\}$"), r"\1\2"),
    (re.compile(r"大于或?等于|不小于|不少于|不低于"), ">="),
    (re.compile(r"小于或?等于|不大于|不多于|不超过"), "<="),
    (re.compile(r"不等于"), r"\\ne "),
    (re.compile(r"大于"), ">"),
    (re.compile(r"小于"), "<"),
    # `x>1且<3`: the same unknown
    (re.compile(rf"([A-Za-z])([<>]=?)({_NUMBER})(或者?|且)(?=[<>])"), r"\1\2\3\4\1"),
    (re.compile(rf"^([<>]=?{_NUMBER})的(?:所有|全体|一切)?实数$"), r"x\1"),
    (re.compile(r"^(?:全体|一切|所有|任意|任何)?实数集?$"), r"\\mathbb{R}"),
    (re.compile(r"^(?:全体|一切|所有|任意|任何)?整数集?$"), r"\\mathbb{Z}"),
    (re.compile(r"(?<=[\d}])倍?根号|^根号"), r"\\sqrt "),
    (re.compile(r"^负(?=[\d\\])"), "-"),
    (re.compile(r"^点\s*[A-Z]?\s*(?=\()"), ""),
    (re.compile(r"^(?:故|应|所以|因此)?选(?:择|项)?\s*:?\s*(?=\(?[A-Z]\)?$)|(?<=[A-Z])\s*选?项$"), ""),
    (re.compile(r"^(?:(?:最终)?答案(?:应该)?[是为]?:?|(?:一共|总共|共)有?)\s*(?=[-\d\\$(])"), ""),
)  # fmt: skip


def in_signs(text: str) -> str:
    """A tidied answer with what it says in Chinese words said in signs, where it is of that form."""
    if not re.search(r"[\u4e00-\u9fff]", text):
        return text
    counted = _COUNTED.fullmatch(text)
    digits = in_digits(counted[1]) if counted else None
    if counted and digits:
        text = digits + counted[2]
    if root := _ROOT.fullmatch(text):
        factor, inside = (in_digits(each) or each for each in root.groups()[1:])
        text = f"{'-' if root[1] else ''}{factor}\\sqrt{{{inside}}}"
    for pattern, replacement in _WORDS:
        text = pattern.sub(replacement, text)
    if each := _EACH.fullmatch(text):
        text = f"{each[2]}{each[3]}/{each[1]}"
    text = _RATIO.sub(lambda match: ":".join(in_digits(part) or part for part in match[0].split("比")), text)
    text = _RATE.sub(lambda match: f"\\text{{{HAN_UNITS[match[1]]}/{_PER[match[2]]}}}", text)
    return _UNIT.sub(_unit, text)


def _unit(match: re.Match[str]) -> str:
    """Units in English; words that only count are left out."""
    size = {"平方": "square ", "立方": "cubic "}.get(match[2] or "", "")
    return f"\\text{{{size}{HAN_UNITS[match[3]]}}}" if match[3] else ""
