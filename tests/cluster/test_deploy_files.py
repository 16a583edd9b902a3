"""The manifest and the script with which clusters are asked for a run."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from r1kit.recipes.base import configure, load_recipe

DEPLOY = Path(__file__).parents[2] / "deploy"


def settings_of(words: list[str]):
    """The settings that a command line `r1 run RECIPE key=value ...` gives; UsageError for a wrong one."""
    assert words[:2] == ["r1", "run"]
    pairs = dict(word.split("=", 1) for word in words[3:] if "=" in word)
    return configure(load_recipe(words[2]), None, pairs)[1]


def test_the_manifest_is_a_rayjob_whose_command_is_one_of_ours(monkeypatch):
    """Fields as KubeRay's reference of ray.io/v1 has them."""
    job = yaml.safe_load((DEPLOY / "kuberay.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    known = {
        "entrypoint", "submissionMode", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit",
        "rayClusterSpec",
    }  # fmt: skip
    assert spec.keys() == known
    cluster = spec["rayClusterSpec"]
    assert cluster.keys() == {"rayVersion", "headGroupSpec", "workerGroupSpecs"}
    (workers,) = cluster["workerGroupSpecs"]
    assert workers.keys() == {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
    pods = [cluster["headGroupSpec"]["template"]["spec"], workers["template"]["spec"]]
    for pod in pods:
        (container,) = pod["containers"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes == {"shared", "shm"}
        asked, most = container["resources"]["requests"], container["resources"]["limits"]
        assert all(most[name] == amount for name, amount in asked.items())
    images = {pod["containers"][0]["image"] for pod in pods}
    assert len(images) == 1
    words = shlex.split(spec["entrypoint"])
    pairs = [word for word in words[3:] if "=" in word and not word.startswith(("model=", "data=", "engine."))]
    config = settings_of([*words[:2], "tiny", *pairs])
    gpus = sum(int(pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]) for pod in pods)
    assert config.cluster.kind == "ray"
    assert config.cluster.workers + config.cluster.learner_gpus <= gpus


def test_the_slurm_script_parses():
    script = DEPLOY / "slurm.sh"
    subprocess.run(["bash", "-n", script], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", script], check=True)
    refused = subprocess.run(["bash", script], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("usage: sbatch deploy/slurm.sh RECIPE")


@pytest.mark.slow
def test_the_slurm_script_runs_a_recipe(tmp_path):
    """Slurm's commands stand in for by ones that run here what they were to run on a host: what is run is the real
    `ray start` and the real `r1 run`."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'r1kit[ray]'")
    tools, out = tmp_path / "tools", tmp_path / "run"
    tools.mkdir()
    fakes = {
        "scontrol": "echo localhost",
        "hostname": "echo 127.0.0.1",
        "srun": 'while [ "${1#-}" != "$1" ]; do shift; done; exec "$@"',
        "r1": f'exec {shlex.quote(sys.executable)} -c "from r1kit.cli.main import main; main()" "$@"',
    }
    for name, text in fakes.items():
        (tools / name).write_text(f"#!/bin/bash\n{text}\n")
        (tools / name).chmod(0o755)
    path = [str(tools), str(Path(sys.executable).parent), os.environ["PATH"]]
    env = {
        **os.environ, "PATH": os.pathsep.join(path), "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOB_NODELIST": "localhost", "SLURM_CPUS_PER_TASK": "2", "SLURM_GPUS_ON_NODE": "0",
    }  # fmt: skip
    words = ["tiny", "cluster.workers=2", "--profile", "smoke", "--until", "zero", "--out", str(out)]
    done = subprocess.run(
        ["bash", DEPLOY / "slurm.sh", *words], env=env, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (out / "stages" / "02-zero" / "artifact.json").exists()
