# Triton on a CPU, for tests and laptops: the tritonserver of the wheel nvidia-pytriton with this project's python-based
# backends, laid out as in NVIDIA's image, so that the same command starts both.
#
#   docker build -f docker/triton-cpu.Dockerfile -t loadproof/triton-cpu:0.1.0 .
#   python -m serving up --triton docker --triton-image loadproof/triton-cpu:0.1.0
#
# NOT FOR A NETWORK WITH ANYBODY ELSE IN IT. The wheel's server is release 24.10, which has published unauthenticated
# remote flaws (CVE-2025-23310, 23311, 23319, 23320, 23334; mended in 25.07): publish its ports on 127.0.0.1
# (docker run -p 127.0.0.1:8000:8000), or on none and join it to an internal network. Deploy docker/triton.Dockerfile.
#
# BASE may be any image with Python 3.11 or 3.12 and its shared library, or a plain Debian 12; more on it in
# docker/loadtest.Dockerfile.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS python
COPY docker/python.sh /tmp/python.sh
RUN /tmp/python.sh libpython3.11

# An index with a password stays in this stage, which is not part of the image.
FROM python AS packages
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
# What the models need: any of onnxruntime, torch, tensorflow.
ARG FRAMEWORKS="onnxruntime"
RUN python3 -m venv /opt/venv
COPY requirements/cpu.lock requirements/cpu.constraints /tmp/
# The lock says which versions, not what: of the wheel only its server is wanted, and that needs nothing.
RUN /opt/venv/bin/pip install --no-cache-dir -c /tmp/cpu.lock numpy ${FRAMEWORKS} \
 && /opt/venv/bin/pip install --no-cache-dir -c /tmp/cpu.lock --no-deps --no-compile nvidia-pytriton
RUN cd /opt/venv/lib/python3*/site-packages \
 && stubs=pytriton/tritonserver/python_backend_stubs \
 && version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])') \
 && mkdir -p /opt/tritonserver/backends \
 && cp -r pytriton/tritonserver/bin pytriton/tritonserver/caches /opt/tritonserver/ \
 && cp -r nvidia_pytriton.libs /opt/tritonserver/lib \
 && cp -r pytriton/tritonserver/backends/python /opt/tritonserver/backends/ \
 && cp "$stubs/$version/triton_python_backend_stub" /opt/tritonserver/backends/python/ \
 && /opt/venv/bin/pip uninstall --yes nvidia-pytriton pip setuptools

FROM python
COPY --from=packages /opt/venv /opt/venv
COPY --from=packages /opt/tritonserver /opt/tritonserver
# NVIDIA's images tell their release in the same variable, which docker/triton.Dockerfile reads. The stub finds the
# packages by the first python3 on PATH.
ENV NVIDIA_TRITON_SERVER_VERSION=24.10 \
    PATH=/opt/venv/bin:/opt/tritonserver/bin:$PATH \
    LD_LIBRARY_PATH=/opt/tritonserver/lib \
    PYTHONDONTWRITEBYTECODE=1 TF_CPP_MIN_LOG_LEVEL=2 HOME=/tmp
COPY serving/backends/*.py serving/backends/onnxruntime/model.py /opt/tritonserver/backends/onnxruntime/
COPY serving/backends/*.py serving/backends/pytorch/model.py /opt/tritonserver/backends/pytorch/
COPY serving/backends/*.py serving/backends/tensorflow/model.py /opt/tritonserver/backends/tensorflow/
WORKDIR /tmp
# triton-server of NVIDIA's image has this number; any other does as well.
USER 1000:1000
EXPOSE 8000 8001 8002
# Of the server, not of its models: whoever mounts a repository knows their names.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 CMD ["python3", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=4)"]
CMD ["tritonserver", "--model-repository=/models", "--disable-auto-complete-config", "--exit-timeout-secs=20", \
     "--backend-config=python,stub-timeout-seconds=120"]
