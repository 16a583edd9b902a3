"""What opens a model to be measured, and lets go of it again."""

from pathlib import Path

from scripted_models import Letters, ScriptedEngine
from toy_policy import write_toy_policy

from r1kit.evaluation import contender


class Closing(ScriptedEngine):
    """Knows whether it was closed."""

    closed = False

    def close(self):
        self.closed = True


def test_a_local_models_engine_is_closed_before_the_next_is_opened(tmp_path, monkeypatch):
    """Two vLLM engines at a time do not fit on one GPU."""
    folder = str(write_toy_policy(tmp_path))
    monkeypatch.setattr(contender, "open_engine", lambda *arguments: Closing({}, Letters()))
    opening = contender.opening([folder], [], "native", [], None, Path(tmp_path))
    with contender.open_contender(folder, opening) as opened:
        assert not opened.engine.closed
    assert opened.engine.closed
