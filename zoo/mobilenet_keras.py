"""MobileNetV3-small out of keras.applications, for handwritten digits.

Its pre-trained ImageNet weights are downloaded from a web server and in no package of the registry, so it starts from
seeded weights and is trained here. The architecture is the real one.
"""

from __future__ import annotations

import keras

MOMENTUM = 0.9  # of batch normalisation: Keras's 0.999 is made for many more steps than are taken here


def build() -> keras.Model:
    """Pixels [batch, 64, 64, 3] float32 from -1 to 1 -> logits [batch, 10] float32."""
    pixels = keras.Input(shape=(64, 64, 3), dtype="float32", name="pixels")
    network = keras.applications.MobileNetV3Small(
        input_tensor=pixels, weights=None, classes=10, classifier_activation=None, include_preprocessing=False
    )
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = MOMENTUM
    return keras.Model(pixels, network.outputs[0], name="mobilenet_keras")
