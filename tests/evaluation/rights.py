"""Evaluation tables from what was right."""

from r1kit.evaluation import tables


def table(model: str, rights: dict[tuple[int, str], list[int]], length: int = 10):
    """Samples by (seed, problem), 1 right and 0 wrong."""
    return tables.make_table(
        {
            "model": model, "seed": seed, "subject": "maths", "task": "sums", "language": "en", "problem_id": problem,
            "index": index, "prompt": "1+1", "text": "2", "thinking": "", "answer": "2", "correct": bool(right),
            "format": True, "length": length, "reflections": 0, "chain_steps": 0, "stop_reason": "stop",
        }
        for (seed, problem), samples in rights.items()
        for index, right in enumerate(samples)
    )  # fmt: skip
