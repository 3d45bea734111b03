# api, control, migrate: everything but the engine. torch is not in this image, and no code in it may need torch.
#     docker build -f docker/service.Dockerfile .
FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/lethe
WORKDIR /source
COPY requirements-service.lock ./
RUN /opt/lethe/bin/pip install --no-deps --require-hashes -r requirements-service.lock
COPY pyproject.toml README.md LICENSE ./
COPY service service
RUN /opt/lethe/bin/pip install --no-deps --no-build-isolation .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home lethe && install -d -m 0700 -o lethe -g lethe /data /data/blobs && \
    install -d -m 0755 -o lethe -g lethe /data/serving
COPY --from=build /opt/lethe /opt/lethe
ENV PATH=/opt/lethe/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LETHE_HOME=/data LETHE_HOST=0.0.0.0
USER lethe
WORKDIR /data
EXPOSE 8080
CMD ["python", "-m", "service.api"]
