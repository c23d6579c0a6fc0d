"""The example models, trained here on real data: small networks of several kinds in PyTorch, Keras and TensorFlow."""
