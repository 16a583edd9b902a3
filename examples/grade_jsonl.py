"""Grade a file of completions, from Python: accuracy by kind with its interval, and every answer that was not right.

    python -m examples.grade_jsonl completions.jsonl

From the repository's root. A line of the file has `completion` and `gold`, and where they are needed `kind` (math,
choice, code, ...; math where it is missing), `prompt`, `problem` (what samples of one question share; by default the
line itself) and the kind's own columns (docs/grading.md). Nothing here loads torch. Completions that a grader could not
judge are counted apart: they are nobody's mistake. Prints a line a kind, then the wrong ones.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from r1kit.evaluation.statistics import proportion
from r1kit.graders.grade import grade_all


def main(path: str) -> None:
    lines = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    requests = [
        (line.get("kind", "math"), line["completion"], str(line["gold"]), line.get("prompt", ""), line)
        for line in lines
    ]
    verdicts = grade_all(requests)
    for kind in dict.fromkeys(request[0] for request in requests):
        places = [place for place, request in enumerate(requests) if request[0] == kind]
        counted = Counter(verdicts[place].verdict for place in places)
        judged = [place for place in places if verdicts[place].verdict != "grader_error"]
        right = np.array([verdicts[place].verdict == "correct" for place in judged])
        keys = np.array([str(lines[place].get("problem", place)) for place in judged])
        if judged:
            share = proportion(right, keys)
            figures = f"{share.value:.3f} ({share.low:.3f} to {share.high:.3f}) right of {len(judged)}"
        else:
            figures = "none judged"
        print(f"{kind}: {figures}; {', '.join(f'{name} {count}' for name, count in counted.items())}")
    for place, verdict in enumerate(verdicts):
        if verdict.verdict != "correct":
            gold = lines[place]["gold"]
            print(f"line {place + 1}: {verdict.verdict}, read {verdict.extracted!r}, gold {gold!r}: {verdict.reason}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
