# A worker for NVIDIA GPUs. The usual Linux build of torch brings the CUDA libraries it was made for; the host gives
# the driver, through the NVIDIA container toolkit.
#     docker build -f docker/worker.Dockerfile .
FROM python:3.12-slim AS build
ARG TORCH_VERSION=2.13.0
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/lethe
WORKDIR /source
COPY requirements.lock ./
RUN /opt/lethe/bin/pip install --no-deps --require-hashes -r requirements.lock
RUN /opt/lethe/bin/pip install torch==${TORCH_VERSION}
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY workers workers
RUN /opt/lethe/bin/pip install --no-deps --no-build-isolation .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home lethe && install -d -m 0700 -o lethe -g lethe /data /data/blobs
COPY --from=build /opt/lethe /opt/lethe
ENV PATH=/opt/lethe/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LETHE_HOME=/data HF_HOME=/data/hub
USER lethe
WORKDIR /data
CMD ["python", "-m", "workers"]
