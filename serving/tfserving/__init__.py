"""An embedded server that speaks TensorFlow Serving's gRPC and REST APIs, for machines without its binary.

It is exact where a client can tell (messages, JSON, error texts, status codes) and simple everywhere else:
one Session per model version, one request at a time per thread, no batching, no file-system polling. Start
it with ``python -m serving.tfserving``; the flags are tensorflow_model_server's.
"""
