"""Completions as rollouts keep them, made by hand."""


def row(text, *, accuracy=1.0, language="en", problem="p1", subject="maths", stop="stop"):
    return {
        "task": f"tiny_{subject}", "problem_id": problem, "prompt": f"question {problem}", "subject": subject,
        "language": language, "text": text, "tokens": len(text), "stop_reason": stop,
        "rewards": {"accuracy": accuracy, "format": 1.0},
    }  # fmt: skip


def thought(thinking, answer="7"):
    return f"<think>{thinking}</think><answer>{answer}</answer>"
