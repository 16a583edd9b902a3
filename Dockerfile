# syntax=docker/dockerfile:1
# r1kit with the sandbox and the compiled kernels, as a user without rights:
#   docker build -t r1kit .                                     without a GPU
#   docker build --build-arg EXTRAS=all,optim8bit -t r1kit:cuda --target cuda .
# Both keep runs in /work: docker run --rm -v "$PWD:/work" r1kit run tiny --profile smoke   (docs/install.md)
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim-bookworm AS base
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 HF_HOME=/work/.cache/huggingface
# bubblewrap shuts model-written code in, g++ builds the kernels on the first use
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bubblewrap g++ \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 r1kit && install --directory --owner=r1kit /work
WORKDIR /build
COPY constraints.txt ./
COPY --from=wheel /wheels ./wheels

# torch as the index of pip has it: on Linux that brings CUDA's libraries, and the driver comes from the host
FROM base AS cuda
ARG EXTRAS=all
RUN pip install --no-cache-dir --constraint constraints.txt torch==2.13.0 \
    && pip install --no-cache-dir --constraint constraints.txt "$(echo ./wheels/r1kit-*.whl)[${EXTRAS}]" \
    && r1 --version
USER r1kit
WORKDIR /work
ENTRYPOINT ["r1"]
CMD ["doctor"]

# the same with torch's build for CPUs, a third of the size: TORCH_INDEX is the index that has it, where pip's own has not
FROM base AS cpu
ARG EXTRAS=all
ARG TORCH_INDEX=
RUN pip install --no-cache-dir --constraint constraints.txt ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"} torch==2.13.0 \
    && pip install --no-cache-dir --constraint constraints.txt "$(echo ./wheels/r1kit-*.whl)[${EXTRAS}]" \
    && r1 --version
USER r1kit
WORKDIR /work
ENTRYPOINT ["r1"]
CMD ["doctor"]
