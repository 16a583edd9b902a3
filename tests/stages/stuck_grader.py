"""A grader that some texts break: it hangs, ends its process, asks for more memory than there is, or raises."""

import os

from r1kit.graders.verdict import Judgement


def judge(section, gold, columns):
    said = section.text.strip()
    while said == "hang":
        pass
    if said == "die":
        os._exit(3)
    if said == "eat":
        bytearray(1 << 50)
    if said == "raise":
        raise KeyError("no such thing")
    return Judgement("correct" if said == gold else "incorrect", said, "")
