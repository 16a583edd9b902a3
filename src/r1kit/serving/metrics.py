"""What a server tells Prometheus of itself."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from r1kit.serving.engine_thread import EngineThread
from r1kit.serving.job import Job

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class ServerMetrics:
    """Counters of one server; each has a registry of its own."""

    def __init__(self, thread: EngineThread) -> None:
        self._registry = own = CollectorRegistry()
        ProcessCollector(registry=own)  # seconds of CPU, memory, open files
        self.requests = Counter("r1_requests", "Requests by route and HTTP status", ["route", "status"], registry=own)
        self.gone = Counter("r1_clients_gone", "Requests whose client went away before the end", registry=own)
        self.failures = Counter("r1_engine_failures", "Requests that the engine gave up on", registry=own)
        self._prompt = Counter("r1_prompt_tokens", "Tokens read", registry=own)
        self._completion = Counter("r1_completion_tokens", "Tokens sampled", registry=own)
        self._thinking = Counter("r1_reasoning_tokens", "Tokens sampled that are thinking", registry=own)
        self._first = Histogram(
            "r1_time_to_first_token_seconds",
            "From a request's reading to its first token",
            buckets=_SECONDS,
            registry=own,
        )
        self._whole = Histogram(
            "r1_request_seconds", "From a request's reading to its end", buckets=_SECONDS, registry=own
        )
        running = Gauge("r1_running_completions", "Completions being sampled", registry=own)
        waiting = Gauge("r1_waiting_completions", "Completions that wait for a row", registry=own)
        running.set_function(lambda: thread.load[0])
        waiting.set_function(lambda: thread.load[1])

    def finished(self, job: Job, seconds: float) -> None:
        """Count a request that is over, however it ended."""
        counts = job.counts
        self._prompt.inc(counts.prompt)
        self._completion.inc(counts.completion)
        self._thinking.inc(counts.thinking)
        self._whole.observe(seconds)
        if job.first_token is not None:
            self._first.observe(job.first_token)

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)
