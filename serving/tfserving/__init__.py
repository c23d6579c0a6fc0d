"""An embedded server that speaks TensorFlow Serving's gRPC and REST APIs, for machines without its binary.

It is exact where a client can tell (messages, JSON, error texts, status codes): one Session per model version;
polling, rollover, warm-up and batching follow the original's rules. Start it with ``python -m serving.tfserving``;
the flags are tensorflow_model_server's.
"""
