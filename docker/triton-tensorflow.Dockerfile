# NVIDIA's Triton with the python-based TensorFlow backend of this project: releases from 25.03 on have none.
#
#   docker build -f docker/triton-tensorflow.Dockerfile --build-arg RELEASE=26.08 -t triton-tensorflow:26.08 .
#   python -m serving up --triton docker --triton-image triton-tensorflow:26.08
#
# Not run on NVIDIA's image here: there is no GPU and no registry on the machines that this was written on.
ARG RELEASE=26.08
FROM nvcr.io/nvidia/tritonserver:${RELEASE}-py3

# TensorFlow is the version that the exports are proven with (requirements/cpu.lock); its CUDA libraries come with it.
ARG TENSORFLOW=2.21.0
RUN pip install --no-cache-dir "tensorflow[and-cuda]==${TENSORFLOW}"

COPY serving/backends/tensorflow/model.py serving/backends/batch.py /opt/tritonserver/backends/tensorflow/
USER triton-server
