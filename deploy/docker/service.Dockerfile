# One image a service, with that service and `shared` in it and nothing else:
#   docker build -f deploy/docker/service.Dockerfile --build-arg SERVICE=cleaner --build-arg PORT=8102 .
# The demo site is built the same way, with SERVICE=demo FOLDER=demo.

FROM python:3.11.14-slim-bookworm AS build
ARG SERVICE
ARG FOLDER=services/${SERVICE}
WORKDIR /build
COPY constraints.txt overrides.txt ./
RUN python -m venv /app && pip install --no-cache-dir -c constraints.txt uv
ENV UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1 VIRTUAL_ENV=/app

# Third-party packages first, from the two manifests and empty packages: this layer changes with
# the manifests only.
COPY shared/pyproject.toml shared/
COPY ${FOLDER}/pyproject.toml ${FOLDER}/
RUN mkdir -p shared/trending_shared ${FOLDER}/trending_${SERVICE} \
 && touch shared/trending_shared/__init__.py ${FOLDER}/trending_${SERVICE}/__init__.py \
          ${FOLDER}/README.md \
 && uv pip install -c constraints.txt --overrides overrides.txt ./shared ./${FOLDER}

COPY shared shared
COPY ${FOLDER} ${FOLDER}
RUN uv pip install --no-deps --reinstall ./shared ./${FOLDER}


FROM python:3.11.14-slim-bookworm
ARG SERVICE
ARG PORT
ARG CODE_VERSION=
RUN useradd --system --uid 10001 --no-create-home trending \
 && install --directory --owner trending /data
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SERVICE=${SERVICE} \
    PORT=${PORT} \
    CODE_VERSION=${CODE_VERSION} \
    TRENDING_HOME=/data \
    LOG_FORMAT=json
# Everything is written below /data and /tmp; the rest may be mounted read-only.
WORKDIR /data
VOLUME /data
USER trending
EXPOSE ${PORT}
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", \
 "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz', timeout=4)"]
CMD ["sh", "-c", "exec python -m trending_$SERVICE"]
