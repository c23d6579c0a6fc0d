# The exports and their proofs, and the training of the example models, with every framework that they need.
#
#   docker build -f docker/export.Dockerfile -t loadproof/export:0.1.0 .
#   docker run --rm --user "$(id -u)" -v "$PWD:/work" loadproof/export:0.1.0 \
#     export --workspace /work --config /work/models.toml
#
# PyPI's torch is the CUDA build, 6 GB of it; an index with CPU builds makes a small image:
#   --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
# Models whose code needs other packages: an image FROM this one, USER 0, pip install, USER 10001. `pt2` compiles, and
# wants g++ there. BASE: see docker/loadtest.Dockerfile.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS python
COPY docker/python.sh /tmp/python.sh
RUN /tmp/python.sh

# An index with a password stays in this stage, which is not part of the image.
FROM python AS packages
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
RUN python3 -m venv /opt/venv
COPY requirements/export.lock requirements/cpu.constraints /tmp/
RUN /opt/venv/bin/pip install --no-cache-dir --no-compile -r /tmp/export.lock \
 && rm -rf /opt/venv/lib/python3*/site-packages/tensorflow/include
# Of the modules those that are imported are compiled: the root file system will be read-only.
RUN /opt/venv/bin/python -c 'import torch.export, torch.onnx, onnx2torch, onnxscript' \
 && /opt/venv/bin/python -c 'import keras, onnxruntime, tensorflow, tf2onnx'

FROM python
COPY --from=packages /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=2 HOME=/tmp
WORKDIR /loadproof
COPY contract contract
COPY zoo zoo
COPY export export
# Not in /etc/passwd, so that any other number does as well. Only /tmp and what is mounted are written to.
USER 10001:10001
# A job: it is judged by its exit code, and has no port that could be asked.
HEALTHCHECK NONE
ENTRYPOINT ["python", "-m"]
CMD ["export", "--help"]
