# One image a service, with that service and `shared` in it and nothing else; `make images` builds all.
#   docker build -f deploy/docker/service.Dockerfile --build-arg SERVICE=cleaner --build-arg PORT=8102 .
# BASE may be any Debian 12: a release pins it by digest (--build-arg BASE=debian@sha256:…), and where
# no registry can be reached `make images` makes one with debootstrap.
ARG BASE=debian:bookworm-20251229-slim

FROM ${BASE} AS python
# Versions are the base's release's: they are in the bill of materials. Nobody becomes root in here:
# no program keeps its setuid bit.
# hadolint ignore=DL3008
RUN apt-get update --quiet \
 && apt-get install --yes --quiet --no-install-recommends ca-certificates python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf/*-old /var/log/* \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin trending \
 && install --directory --owner trending --group trending /data


FROM python AS packages
WORKDIR /build
COPY constraints.txt overrides.txt ./
# What a builder behind a proxy needs is mounted for a step, and is in no layer:
#   --secret id=ca,src=CERTIFICATES --secret id=pip,src=PIP.CONF --secret id=uv,src=UV.TOML
# hadolint ignore=DL3008,DL3009
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    cp /var/lib/dpkg/status /debian-packages \
 && apt-get update --quiet \
 && apt-get install --yes --quiet --no-install-recommends python3-venv \
 && python3 -m venv /tools \
 && /tools/bin/pip install --quiet --no-cache-dir -c constraints.txt uv cyclonedx-bom
ENV PATH=/tools/bin:$PATH VIRTUAL_ENV=/app UV_CACHE_DIR=/uv-cache UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_SYSTEM_CERTS=1

# Third-party packages first, from the two manifests and empty packages: this layer changes with
# the manifests only. /app/lib/…/service.pth says where the packages themselves will be.
ARG SERVICE
ARG FOLDER=services/${SERVICE}
ARG EXTRAS=
ARG SHARED_EXTRAS=
COPY shared/pyproject.toml shared/
COPY ${FOLDER}/pyproject.toml ${FOLDER}/
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=uv,target=/etc/uv/uv.toml \
    --mount=type=cache,target=/uv-cache \
    mkdir shared/trending_shared ${FOLDER}/trending_${SERVICE} \
 && touch shared/trending_shared/__init__.py ${FOLDER}/trending_${SERVICE}/__init__.py ${FOLDER}/README.md \
 && uv venv --quiet --python /usr/bin/python3 /app \
 && uv pip install --quiet -c constraints.txt --overrides overrides.txt "./shared${SHARED_EXTRAS:+[$SHARED_EXTRAS]}" "./${FOLDER}${EXTRAS:+[$EXTRAS]}" \
 && uv pip uninstall --quiet trending-shared trending-${SERVICE} \
 && echo /service > "$(echo /app/lib/python3.*/site-packages)/service.pth"


FROM packages AS service
ARG SERVICE
ARG FOLDER=services/${SERVICE}
COPY shared shared
COPY ${FOLDER} ${FOLDER}
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=uv,target=/etc/uv/uv.toml \
    --mount=type=cache,target=/uv-cache \
    uv pip install --quiet --no-deps --target /service ./shared ./${FOLDER}
COPY deploy/docker/sbom.py ./
RUN cyclonedx-py environment /app --pyproject ${FOLDER}/pyproject.toml --mc-type application \
      --output-reproducible --output-file /bom.json \
 && python3 sbom.py /bom.json /debian-packages /service/sbom.cdx.json


FROM python
COPY --from=packages /app /app
COPY --from=service /service /service
ARG SERVICE
ARG PORT
ARG HEALTH=/healthz
ENV PATH=/app/bin:$PATH \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SERVICE=${SERVICE} \
    PORT=${PORT} \
    HEALTH=${HEALTH} \
    TRENDING_HOME=/data \
    LOG_FORMAT=json
# Everything is written below /data and /tmp; the rest may be mounted read-only.
WORKDIR /data
VOLUME /data
USER 10001:10001
EXPOSE ${PORT}
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", \
 "import os, urllib.request as r; r.urlopen('http://127.0.0.1:{PORT}{HEALTH}'.format(**os.environ), timeout=4)"]
# The shell turns into the service, which is then process 1 and gets the signals itself.
CMD ["sh", "-c", "exec python -m trending_$SERVICE"]
ARG CODE_VERSION=
ARG REVISION=
ENV CODE_VERSION=${CODE_VERSION}
LABEL org.opencontainers.image.title="trending-${SERVICE}" \
      org.opencontainers.image.version="${CODE_VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
