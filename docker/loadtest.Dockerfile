# The load generator: Locust's master and workers, and all that reads or asks servers elsewhere: proof, search, report.
# No ML framework: a worker sends bytes.
#
#   docker build -f docker/loadtest.Dockerfile -t loadproof/loadtest:0.1.0 .
#   docker run --rm --network=host --user "$(id -u)" -v "$PWD:/work" loadproof/loadtest:0.1.0 \
#     loadtest --workspace /work --config /work/models.toml
#
# BASE may be any image with Python 3.11 or 3.12, or a plain Debian 12. It is a tag, for no digest is known that could
# be promised here; where you have one: --build-arg BASE=python:3.11-slim-bookworm@sha256:…
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS python
COPY docker/python.sh /tmp/python.sh
RUN /tmp/python.sh

# An index with a password stays in this stage, which is not part of the image.
FROM python AS packages
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
RUN python3 -m venv /opt/venv
COPY requirements/loadtest.lock requirements/cpu.constraints /tmp/
# The lock is complete: nothing else is asked for, so TF Serving's messages come without TensorFlow.
RUN /opt/venv/bin/pip install --no-cache-dir --no-compile --no-deps -r /tmp/loadtest.lock \
 && /opt/venv/bin/pip uninstall --yes pip setuptools
# What no command opens, 100 MB of it: Arrow's RPC and headers, tests, and of plotly all but the script in the page.
RUN cd /opt/venv/lib/python3*/site-packages \
 && rm -rf pyarrow/libarrow_flight* pyarrow/*_flight* pyarrow/include pyarrow/src \
           plotly/graph_objs plotly/validators plotly/labextension plotly/package_data/widgetbundle.js \
 && find . -type d -name tests -prune -exec rm -rf {} +

FROM python
COPY --from=packages /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
WORKDIR /loadproof
COPY contract contract
COPY serving serving
COPY loadtest loadtest
COPY report report
COPY tune tune
# A volume that is named, not bound, takes its owner from here; a tmpfs its mode, and nobody knows whose live/ will be.
RUN install -d -o 10001 -g 10001 results reports && install -d -m 1777 live
# Not in /etc/passwd, so that any other number does as well. Only /tmp and what is mounted are written to.
USER 10001:10001
# A job: it is judged by its exit code, and has no port that could be asked.
HEALTHCHECK NONE
ENTRYPOINT ["python", "-m"]
CMD ["loadtest", "--help"]
