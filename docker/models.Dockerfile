# A server's image with its models in it, where a volume is not wanted. The context is the repository alone:
#
#   docker build -f docker/models.Dockerfile --build-arg BASE=loadproof/triton:0.1.0 -t NAME:TAG model_repository/triton
#
# The image then serves what is in it (`docker run NAME:TAG`), TF Serving's with its flags: --model_name=NAME
# --model_base_path=/models/NAME. Health check, user and entrypoint are the base's.
ARG BASE=loadproof/triton:0.1.0
FROM ${BASE}
COPY . /models
