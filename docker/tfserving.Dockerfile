# TF Serving's own image, made to run as the others do: as nobody in particular, its health told, and ended by SIGTERM,
# after what is under way.
#
#   docker build -f docker/tfserving.Dockerfile -t loadproof/tfserving:0.1.0 .
#   docker run --rm -p 127.0.0.1:8501:8501 -v "$PWD/model_repository/tfserving:/models:ro" \
#     loadproof/tfserving:0.1.0 --port=8500 --rest_api_port=8501 --model_name=NAME --model_base_path=/models/NAME
#
# BASE is a tag, for no digest is known that could be promised here; where you have one: --build-arg
# BASE=tensorflow/serving:2.20.0@sha256:…. NOT BUILT ON THE ORIGINAL here, which could not be pulled: the test's base has
# a stand-in for its server.
ARG BASE=tensorflow/serving:2.20.0
FROM ${BASE}
COPY docker/tfserving.sh /usr/local/bin/tfserving.sh
RUN command -v tensorflow_model_server >/dev/null \
 || { echo "error: BASE has no tensorflow_model_server: --build-arg BASE=tensorflow/serving:2.20.0" >&2; exit 1; }
ENV DRAIN_S=5 HOME=/tmp
WORKDIR /tmp
USER 1000:1000
EXPOSE 8500 8501
# Whether it answers, whatever it is: no model has to be there. The image has neither curl nor Python, but bash.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8501 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && read -r -t 4 <&3"]
ENTRYPOINT ["/usr/local/bin/tfserving.sh"]
CMD ["--help"]
