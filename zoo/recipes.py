"""The table of the zoo: how each model is made. A new one is a row here and a module ``zoo/<name>.py``.

The module holds the network and its factory ``build()``, and a ``loss`` where the usual one does not do. Nothing here
needs a framework: what does is reached late, by name.
"""

from __future__ import annotations

from dataclasses import dataclass

from zoo.image import Digits
from zoo.lesson import Subject
from zoo.plan import Plan
from zoo.preprocessing import Preprocessing
from zoo.text import Pieces, Words

TRAINERS = {
    "torch": "zoo.trainer_torch",
    "keras": "zoo.trainer_keras",
    "tensorflow": "zoo.trainer_tensorflow",
    "minilm": "zoo.trainer_minilm",
}
TORCHVISION, KERAS = "zoo.preprocessing_torchvision:prepare", "zoo.preprocessing_keras:prepare"
TENSORS, WHOLE, VARIABLES = "weights.safetensors", "model.keras", "model.weights.h5"
# The same grey levels for both frameworks; MobileNet's channels as torchvision's and as Keras's own weights want them.
GREY = Preprocessing(layout="NCHW", size=(28, 28), mean=(0.0,), std=(1.0,))
GREY_LAST = Preprocessing(layout="NHWC", size=(28, 28), mean=(0.0,), std=(1.0,))
COLOUR = Preprocessing(layout="NCHW", size=(64, 64), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
COLOUR_LAST = Preprocessing(layout="NHWC", size=(64, 64), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Recipe:
    """Who trains the model, on what, and how; ``note`` is what a reader of its card has to know."""

    trainer: str
    subject: Subject
    plan: Plan
    note: str = ""
    optional: bool = False  # made only when it is asked for


FROM_SCRATCH = "Trained here from seeded weights: the pre-trained ImageNet weights are in no package of the registry."
PRETRAINED = (
    "Not trained here: the real pre-trained weights of sentence-transformers/all-MiniLM-L6-v2. Its accuracy is that of "
    "the nearer centroid: of the embeddings of the negative or of the positive training sentences."
)

RECIPES: dict[str, Recipe] = {
    "sentiment_torch": Recipe("torch", Words(), Plan(TENSORS, epochs=4, rate=3e-3)),
    "sentiment_torch_sequential": Recipe("torch", Words("input"), Plan(TENSORS, epochs=4, rate=3e-3, seed=2)),
    "sentiment_keras": Recipe("keras", Words(), Plan(WHOLE, epochs=4, rate=1e-3)),
    "sentiment_keras_subclass": Recipe("keras", Words(), Plan(VARIABLES, epochs=4, rate=1e-3, seed=3)),
    "sentiment_keras_sequential": Recipe("keras", Words(), Plan(WHOLE, epochs=4, rate=1e-3, seed=2)),
    "sentiment_tensorflow": Recipe("tensorflow", Words(), Plan(TENSORS, epochs=4, rate=3e-3)),
    "recurrent_torch": Recipe("torch", Words(), Plan(TENSORS, epochs=3, rate=3e-3)),
    "recurrent_keras": Recipe("keras", Words(), Plan(WHOLE, epochs=2, rate=3e-3)),
    "adaptive_torch": Recipe("torch", Words(), Plan(TENSORS, epochs=3, rate=3e-3)),
    "adaptive_tensorflow": Recipe("tensorflow", Words(), Plan(TENSORS, epochs=3, rate=3e-3)),
    "digits_torch": Recipe("torch", Digits(TORCHVISION, GREY), Plan(TENSORS, epochs=6, rate=3e-3)),
    "digits_keras": Recipe("keras", Digits(KERAS, GREY_LAST), Plan(WHOLE, epochs=6, rate=3e-3)),
    "mobilenet_torch": Recipe(
        "torch", Digits(TORCHVISION, COLOUR, 150), Plan(TENSORS, epochs=2, rate=2e-3), FROM_SCRATCH
    ),
    "mobilenet_keras": Recipe("keras", Digits(KERAS, COLOUR_LAST, 150), Plan(WHOLE, epochs=1, rate=2e-3), FROM_SCRATCH),
    "minilm_torch": Recipe("minilm", Pieces(), Plan(TENSORS, epochs=0, rate=0.0), PRETRAINED, optional=True),
}
