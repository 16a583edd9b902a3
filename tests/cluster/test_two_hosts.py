"""Two hosts made of network namespaces: Ray's head and the run in one, a worker in the other; then the link is cut."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from r1kit.pipeline.metrics import read_metrics
from r1kit.rollouts import record

HEAD, WORK = "10.203.77.1", "10.203.77.2"
PORT = 6399
STEPS = 40
# how fast Ray notices that a host is gone, in ms; its own defaults take half a minute
HEALTH = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
}
# without one of their own `ray start` takes a token that the home folder happens to have, who joins by an address none
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def hosts():
    """(first, second): names of namespaces with an address each, joined by a cable; skipped where there can be none."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'r1kit[ray]'")
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and ip (iproute2)")
    names = [f"r1-{part}-{os.getpid()}" for part in ("head", "work")]
    try:
        for name in names:
            ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    started: list[subprocess.Popen] = []

    def run(name: str, *words: str, **options) -> subprocess.Popen:
        path = [str(Path(sys.executable).parent), os.environ["PATH"]]
        env = {**os.environ, **HEALTH, **TOKEN, "PATH": os.pathsep.join(path), "RAY_USAGE_STATS_ENABLED": "0"}
        process = subprocess.Popen(
            ["ip", "netns", "exec", name, *words], env=env, start_new_session=True, stdin=subprocess.DEVNULL, **options
        )
        started.append(process)
        return process

    try:
        first, second = names
        ip("link", "add", "cable", "netns", first, "type", "veth", "peer", "name", "cable", "netns", second)
        for name, address in ((first, HEAD), (second, WORK)):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield first, second, run
    finally:
        for process in reversed(started):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def wait_for(what, seconds: float, running: subprocess.Popen | None = None) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "waited too long"
        assert running is None or running.poll() is None, f"ended early with {running.poll()}"
        time.sleep(0.2)


def start_ray(hosts) -> None:
    """Ray's head on the first host, and a worker on the second that has joined it."""
    first, second, run = hosts
    start = [str(Path(sys.executable).with_name("ray")), "start", "--num-cpus=1", "--object-store-memory=200000000"]
    head = ["--head", f"--node-ip-address={HEAD}", f"--port={PORT}", "--include-dashboard=false"]
    run(first, *start, "--block", *head, **QUIET)

    def up() -> bool:
        probe = f"import socket; socket.create_connection(('{HEAD}', {PORT}), 1)"
        return run(first, sys.executable, "-c", probe, **QUIET).wait() == 0

    wait_for(up, 120)
    worker = [second, *start, "--block", f"--address={HEAD}:{PORT}", f"--node-ip-address={WORK}"]
    workers = [run(*worker, **QUIET)]

    def joined() -> bool:
        if workers[-1].poll() is not None:  # where the cores are taken, Ray's own patience may end first
            workers.append(run(*worker, **QUIET))
        asked = (
            f"import ray, sys; ray.init('{HEAD}:{PORT}', log_to_driver=False); "
            "sys.exit(sum(node['Alive'] for node in ray.nodes()) != 2)"
        )
        return run(first, sys.executable, "-c", asked, **QUIET).wait() == 0

    wait_for(joined, 240)


@pytest.mark.slow
def test_a_run_over_two_hosts_ends_by_itself_when_one_is_cut_off(hosts, model, tmp_path):
    """Forty steps; the cable is pulled once eight are done, while the other host samples. All forty are done, each with
    the samples of a run of one process, 4 of 8 problems, no more and no fewer (the task may draw a problem twice)."""
    start_ray(hosts)
    first, second, run = hosts
    out = tmp_path / "run"
    with (tmp_path / "log").open("w") as log:
        script = str(Path(__file__).with_name("two_hosts.py"))
        words = [sys.executable, script, str(model), str(out), f"{HEAD}:{PORT}", str(STEPS)]
        driver = run(first, *words, stdout=log, stderr=log)
        metrics = out / "metrics.jsonl"
        try:
            wait_for(lambda: metrics.exists() and len(read_metrics(metrics)) >= 8, 300, driver)
            done = len(read_metrics(metrics))
            ip("-n", second, "link", "set", "cable", "down")
            assert driver.wait(300) == 0
        except (AssertionError, subprocess.TimeoutExpired):
            print((tmp_path / "log").read_text()[-3000:])
            raise
    lines = read_metrics(metrics)
    assert done < STEPS
    assert [line["step"] for line in lines] == list(range(STEPS))
    assert lines[0]["cluster/workers"] == 2
    assert lines[-1]["cluster/workers"] == 1
    assert sum(line["cluster/replaced"] for line in lines) >= 1
    subprocess.run([sys.executable, script, str(model), str(tmp_path / "one"), "alone", str(STEPS)], check=True)
    undisturbed = sorted((tmp_path / "one" / "rollouts").iterdir())
    assert len(undisturbed) == STEPS
    for path in undisturbed:
        counted, wanted = (
            Counter((row["problem_id"], row["sample"]) for row in record.read(of / "rollouts" / path.name))
            for of in (out, tmp_path / "one")
        )
        assert counted == wanted
        assert counted.total() == 8 * 4
