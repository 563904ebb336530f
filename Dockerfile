# Images of translate for a CPU and for NVIDIA GPUs, with the versions of constraints.txt.
#
#   docker build --target cpu  -t translate:cpu .
#   docker build --target cuda -t translate:cuda .
#   docker run --rm -v "$PWD:/work" translate:cpu apply input=photos output=translations
#   docker run --rm --gpus all --shm-size 8g -v "$PWD:/work" translate:cuda model=stargan_v2 data=folder data.root=photos
#
# The containers run as user 1000. If your files belong to another user, add --user "$(id -u):$(id -g)".
# EXTRAS chooses what is installed: "" for inference alone, or for example "train,demo".

ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src src
COPY conf conf
COPY experiments experiments
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim AS base
# torch and Triton ask for the user's name and home, which a user of the host does not have here.
ENV PYTHONUNBUFFERED=1 TRANSLATE_CACHE=/cache HOME=/cache USER=translate
RUN useradd --home-dir /cache --no-create-home --uid 1000 translate \
    && mkdir -p /work /cache /source \
    && chmod 1777 /work /cache
COPY constraints.txt /source/constraints.txt
COPY --from=wheel /wheels /source/wheels
WORKDIR /work
ENTRYPOINT ["translate-gan"]
CMD ["--help"]

FROM base AS cpu
ARG EXTRAS=train,demo,onnx,video
RUN pip install --no-cache-dir --constraint /source/constraints.txt \
        --extra-index-url https://download.pytorch.org/whl/cpu \
        "translate-gan[${EXTRAS}] @ file://$(ls /source/wheels/*.whl)" \
    && translate-gan --version
USER 1000

# The wheels of torch on the package index hold the libraries of CUDA; the driver is that of the host. The compiler is
# for trainer.compile and trainer.fused_norms, which translate kernels when they run.
FROM base AS cuda
ARG EXTRAS=train,demo,onnx,video
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir --constraint /source/constraints.txt \
        "translate-gan[${EXTRAS}] @ file://$(ls /source/wheels/*.whl)" \
    && translate-gan --version
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000
