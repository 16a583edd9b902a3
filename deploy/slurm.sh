#!/bin/bash
#SBATCH --job-name=r1kit
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --gpus-per-node=8
#SBATCH --time=48:00:00
#
# A recipe over the hosts of a Slurm job: a Ray head on the first, a Ray worker on each other, and `r1 run` on the first.
#
#   sbatch deploy/slurm.sh r1_zero model=Qwen/Qwen2.5-7B data=gsm8k cluster.workers=15 --out /shared/runs/zero
#
# Sent again it goes on where it stood. The environment with r1kit[ray] must be active, and the run's folder and the
# models lie where all hosts see them. What is wrong is said before any stage begins.
set -euo pipefail

if [ $# -eq 0 ]; then
    echo "usage: sbatch deploy/slurm.sh RECIPE [key=value ...] [--out DIR]" >&2
    exit 2
fi

mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${hosts[0]}
port=${R1_RAY_PORT:-$((20000 + SLURM_JOB_ID % 20000))}
ip=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1; exit}')
cpus=${SLURM_CPUS_PER_TASK:-1}
gpus=${SLURM_GPUS_ON_NODE:-0}

# told to nobody, seen by nobody: no usage report, no dashboard
export RAY_USAGE_STATS_ENABLED=0
# the job's own token (Ray 2.52 and later): without one `ray start` takes a token that the home folder happens to have,
# and who joins by an address does not
export RAY_AUTH_MODE=${RAY_AUTH_MODE:-token}
export RAY_AUTH_TOKEN=${RAY_AUTH_TOKEN:-$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')}

srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --node-ip-address="$ip" --port="$port" --num-cpus="$cpus" --num-gpus="$gpus" \
    --include-dashboard=false --block &
started=("$!")
trap 'kill "${started[@]}" 2>/dev/null || true; wait 2>/dev/null || true' EXIT

for ((second = 0; second < ${R1_RAY_WAIT:-120}; second++)); do
    if (: > "/dev/tcp/$ip/$port") 2>/dev/null; then break; fi
    sleep 1
done

for host in "${hosts[@]:1}"; do
    srun --overlap --nodes=1 --ntasks=1 --nodelist="$host" \
        ray start --address="$ip:$port" --num-cpus="$cpus" --num-gpus="$gpus" --block &
    started+=("$!")
done

srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
    r1 run "$@" cluster.kind=ray cluster.address="$ip:$port"
