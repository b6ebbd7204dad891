# syntax=docker/dockerfile:1
# Two stages: the first builds the wheel, the second holds the wheel's environment and nothing else.

FROM python:3.13-slim-bookworm AS build
WORKDIR /src
RUN ["python", "-m", "pip", "install", "--no-cache-dir", "build==1.6.1"]
COPY pyproject.toml README.md LICENSE ./
COPY daemon ./daemon
COPY rules ./rules
RUN ["python", "-m", "build", "--wheel", "--outdir", "/dist"]
RUN python -m venv --without-pip /opt/rollbackd \
    && python -m pip --python /opt/rollbackd/bin/python install --no-cache-dir \
        "$(ls /dist/rollbackd-*.whl)[kafka-codecs]" \
    && install -d -m 0700 /state

FROM python:3.13-slim-bookworm
LABEL org.opencontainers.image.title="rollbackd" \
      org.opencontainers.image.description="Fires the rollback runbook by itself" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
COPY --from=build /opt/rollbackd /opt/rollbackd
COPY --from=build --chown=10001:10001 /state /var/lib/rollbackd
ENV PATH="/opt/rollbackd/bin:$PATH" PYTHONDONTWRITEBYTECODE="1"
USER 10001:10001
WORKDIR /var/lib/rollbackd
VOLUME ["/var/lib/rollbackd"]
EXPOSE 9797
STOPSIGNAL SIGTERM
# Over plain HTTP; with `http.tls`, override it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9797/-/healthy', timeout=4)"]
ENTRYPOINT ["rollbackd"]
# No config is baked in: without one there is no listener that others can reach.
CMD ["run", "--config", "/etc/rollbackd/rollbackd.yaml"]
