# The EMBEDDED stand-in for TF Serving (serving/tfserving), for laptops and CI where the original image cannot be had.
# It is never deployed and never ranked; each of its REST answers says `Server: loadproof-embedded`. The original is
# docker/tfserving.Dockerfile.
#
#   docker build -f docker/tfserving-embedded.Dockerfile -t loadproof/tfserving-embedded:0.1.0 .
#   docker run --rm -p 127.0.0.1:8501:8501 -v "$PWD/model_repository/tfserving:/models:ro" \
#     loadproof/tfserving-embedded:0.1.0 --port=8500 --rest_api_port=8501 --model_name=NAME --model_base_path=/models/NAME
#
# BASE: see docker/loadtest.Dockerfile.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS python
COPY docker/python.sh /tmp/python.sh
RUN /tmp/python.sh

# An index with a password stays in this stage, which is not part of the image.
FROM python AS packages
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
RUN python3 -m venv /opt/venv
COPY requirements/cpu.lock requirements/cpu.constraints /tmp/
# Less the C++ headers, 430 MB. The modules that are imported are compiled: the root file system will be read-only.
RUN /opt/venv/bin/pip install --no-cache-dir --no-compile -c /tmp/cpu.lock tensorflow tensorflow-serving-api \
 && /opt/venv/bin/pip uninstall --yes pip \
 && rm -rf /opt/venv/lib/python3*/site-packages/tensorflow/include \
 && /opt/venv/bin/python -c 'import tensorflow, tensorflow_serving.apis.prediction_service_pb2_grpc'

FROM python
COPY --from=packages /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 TF_CPP_MIN_LOG_LEVEL=2 HOME=/tmp
WORKDIR /loadproof
COPY serving/__init__.py serving/
COPY serving/tfserving serving/tfserving
USER 1000:1000
EXPOSE 8500 8501
# Whether it answers, whatever it is: no model has to be there, and no page of metrics.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", \
    "import http.client as h; c = h.HTTPConnection('127.0.0.1:8501'); c.request('GET', '/'); c.getresponse()"]
# Python's own handler of SIGTERM ends it: what is under way is answered.
ENTRYPOINT ["python", "-m", "serving.tfserving", "--host=0.0.0.0"]
CMD ["--help"]
