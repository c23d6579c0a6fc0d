# NVIDIA's Triton with this project's python-based backends beside its own, for production.
#
#   docker build -f docker/triton.Dockerfile -t loadproof/triton:0.1.0 .
#   docker build -f docker/triton.Dockerfile --build-arg FRAMEWORKS="tensorflow[and-cuda]" -t loadproof/triton:0.1.0 .
#   python -m serving up --triton docker --triton-image loadproof/triton:0.1.0
#
# Where a backend has both, Triton takes NVIDIA's native one (libtriton_NAME.so) unless config.pbtxt names the python
# runtime, as it does for batching.ragged. Two cases need FRAMEWORKS, in the versions that the exports are proven with:
# SavedModels, for releases from 25.03 on have no TensorFlow backend, and a model with the python runtime
# ("onnxruntime-gpu", "torch").
#
# BASE is a tag, for no digest is known that could be promised here; where you have one: --build-arg
# BASE=nvcr.io/nvidia/tritonserver:26.08-py3@sha256:…. NOT BUILT ON NVIDIA's image here, which could not be pulled:
# the test's base is a stand-in.
ARG RELEASE=26.08
ARG BASE=nvcr.io/nvidia/tritonserver:${RELEASE}-py3
FROM ${BASE}
USER root

# Releases before 25.07 have published unauthenticated remote flaws (CVE-2025-23310, 23311, 23319, 23320, 23334).
# The image says which it is.
RUN release="${NVIDIA_TRITON_SERVER_VERSION:-0}" \
 && older=$(printf '%s\n' 25.07 "$release" | sort --version-sort | head -n 1) \
 && if [ "$older" != 25.07 ]; then \
      echo "error: BASE is Triton release $release, needed is 25.07 or newer: --build-arg RELEASE=26.08" >&2; \
      exit 1; \
    fi

ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG FRAMEWORKS=""
COPY requirements/gpu.lock requirements/gpu.constraints /tmp/
# The image is the environment: Ubuntu's pip is told that it may install beside the system's packages.
RUN if [ -n "${FRAMEWORKS}" ]; then \
      PIP_BREAK_SYSTEM_PACKAGES=1 pip install --no-cache-dir -c /tmp/gpu.lock ${FRAMEWORKS}; \
    fi

COPY serving/backends/*.py serving/backends/onnxruntime/model.py /opt/tritonserver/backends/onnxruntime/
COPY serving/backends/*.py serving/backends/pytorch/model.py /opt/tritonserver/backends/pytorch/
COPY serving/backends/*.py serving/backends/tensorflow/model.py /opt/tritonserver/backends/tensorflow/
ENV HOME=/tmp
# triton-server of NVIDIA's image; any other number does as well.
USER 1000:1000
EXPOSE 8000 8001 8002
# Of the server, not of its models: whoever mounts a repository knows their names. NVIDIA's entrypoint stays.
HEALTHCHECK --interval=10s --timeout=5s --start-period=900s --retries=3 CMD ["python3", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=4)"]
CMD ["tritonserver", "--model-repository=/models", "--disable-auto-complete-config", "--exit-timeout-secs=20", \
     "--backend-config=python,stub-timeout-seconds=120"]
