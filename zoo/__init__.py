"""The example models, trained here on real data: the same small network in PyTorch and in Keras."""
