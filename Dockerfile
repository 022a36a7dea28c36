# The image: `sidegate serve` on all addresses, with its data in /data. Two stages, so that no compiler is left in it.
#   podman build -t sidegate .
#   podman run -p 30600:30600 -e SIDEGATE_ROOT_ACCESS_KEY=… -e SIDEGATE_ROOT_SECRET_KEY=… -v sidegate:/data sidegate

FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY native native
COPY gateway gateway
# Behind a registry whose certificate only this machine knows, give it as the secret `ca`.
RUN --mount=type=secret,id=ca,target=/run/secrets/ca.crt \
    if [ -s /run/secrets/ca.crt ]; then export PIP_CERT=/run/secrets/ca.crt; fi \
    && python3 -m venv /opt/sidegate \
    && /opt/sidegate/bin/pip install --no-cache-dir .

FROM python:3.11-slim-bookworm
COPY --from=build /opt/sidegate /opt/sidegate
RUN useradd --system --uid 10001 --home-dir /data sidegate && install -d -o sidegate /data
ENV PATH=/opt/sidegate/bin:$PATH SIDEGATE_DATA=/data PYTHONUNBUFFERED=1
USER sidegate
VOLUME /data
EXPOSE 30600
STOPSIGNAL SIGTERM
ENTRYPOINT ["sidegate"]
CMD ["serve", "--listen", "0.0.0.0:30600", "--auth", "keys"]
