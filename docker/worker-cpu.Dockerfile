# A worker without a GPU. On x86-64 the usual Linux build of torch carries the CUDA libraries, some gigabytes that a
# CPU cannot use: TORCH_INDEX_URL names an index of CPU builds. On arm64 the usual build is a CPU build already.
#     docker build -f docker/worker-cpu.Dockerfile --build-arg TORCH_INDEX_URL=… .
FROM python:3.12-slim AS build
ARG TORCH_VERSION=2.13.0
ARG TORCH_INDEX_URL=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/lethe
WORKDIR /source
COPY requirements.lock ./
RUN /opt/lethe/bin/pip install --no-deps --require-hashes -r requirements.lock
RUN /opt/lethe/bin/pip install ${TORCH_INDEX_URL:+--index-url ${TORCH_INDEX_URL}} torch==${TORCH_VERSION}
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY workers workers
RUN /opt/lethe/bin/pip install --no-deps --no-build-isolation .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home lethe && install -d -m 0700 -o lethe -g lethe /data /data/blobs
COPY --from=build /opt/lethe /opt/lethe
ENV PATH=/opt/lethe/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LETHE_HOME=/data HF_HOME=/data/hub LETHE_DEVICE=cpu
USER lethe
WORKDIR /data
CMD ["python", "-m", "workers"]
