# syntax=docker/dockerfile:1
# One image for all services and for `till`; the command says which one runs (see docker-compose.yml).

FROM python:3.11-slim AS build

ENV UV_PROJECT_ENVIRONMENT=/opt/tillstream \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv==0.13.9

WORKDIR /src
# The locked packages first: this layer stays as long as the lock does.
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-install-workspace
# Then ourselves, as an installed package: the final stage needs nothing but this environment.
COPY README.md LICENSE ./
COPY libs libs
COPY services services
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-editable


FROM python:3.11-slim

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Tillstream" \
      org.opencontainers.image.description="Every sale, refund and stock move from the till to every other system, exactly once, in order" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim"

# What runs cannot install anything. The user has a name because `till` writes into the audit who acted.
RUN python -m pip uninstall --yes pip setuptools wheel \
    && useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tillstream
COPY --from=build /opt/tillstream /opt/tillstream

# Nothing is written to the file system: it can be mounted read-only.
ENV PATH=/opt/tillstream/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TILLSTREAM_CONFIG=/etc/tillstream/tillstream.yaml
USER 10001:10001
# Webhooks; metrics and health.
EXPOSE 8080 9464
STOPSIGNAL SIGTERM
CMD ["till", "--help"]
