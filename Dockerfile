# Wheels are built in one stage and installed in another; what runs holds neither sources, nor
# compilers, nor pip's cache.
FROM python:3.13-slim AS build
WORKDIR /src
COPY scripts/requirements/runtime.txt scripts/requirements/runtime.txt
RUN python -m venv /opt/rolehost \
    && /opt/rolehost/bin/pip install --no-cache-dir --require-hashes -r scripts/requirements/runtime.txt
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY host host
COPY migrations migrations
COPY plugins plugins
COPY contrib contrib
RUN set -eu; \
    rm -r contrib/testing; \
    for folder in . plugins/*/ contrib/*/; do \
        /opt/rolehost/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels "./$folder"; \
    done; \
    /opt/rolehost/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl; \
    /opt/rolehost/bin/pip check; \
    /opt/rolehost/bin/pip uninstall --yes --quiet setuptools pip

FROM python:3.13-slim
LABEL org.opencontainers.image.title="rolehost" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/rolehost /opt/rolehost
COPY deploy/*.toml /etc/rolehost/
RUN useradd --system --uid 10001 --home-dir /nonexistent rolehost \
    && install -d -o rolehost -g rolehost /var/lib/rolehost
ENV PATH=/opt/rolehost/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ROLEHOST__HTTP__BIND=0.0.0.0:8000 \
    ROLEHOST__EMBEDDED__PATH=/var/lib/rolehost/rolehost.db
USER 10001
VOLUME /var/lib/rolehost
EXPOSE 8000
# The supervisor is process 1: it forwards TERM, reaps its children and drains before it ends.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
ENTRYPOINT ["rolehost"]
CMD ["run", "/etc/rolehost/embedded.toml"]
