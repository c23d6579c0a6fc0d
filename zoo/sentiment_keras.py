"""The small network in Keras: the functional API, compile and fit. The embedding's mask excludes padding."""

from __future__ import annotations

from pathlib import Path

import keras

from contract.progress import say
from zoo.vocabulary import Tokens

WEIGHTS = "model.keras"
VERSIONS = ["tensorflow", "keras", "numpy"]
SEED, EPOCHS, BATCH, RATE = 1, 5, 64, 1e-3


def build(vocabulary: int, width: int = 48, hidden: int = 32) -> keras.Model:
    """Tokens [batch, length] int64, 0 is padding -> logits [batch, 2] float32 (negative, positive)."""
    tokens = keras.Input(shape=(None,), dtype="int64", name="tokens")
    embedded = keras.layers.Embedding(vocabulary, width, mask_zero=True, name="embedding")(tokens)
    pooled = keras.layers.GlobalAveragePooling1D(name="pooling")(embedded)
    dropped = keras.layers.Dropout(0.4, name="dropout")(pooled)
    activated = keras.layers.Dense(hidden, activation="relu", name="hidden")(dropped)
    logits = keras.layers.Dense(2, name="logits")(activated)
    return keras.Model(tokens, logits, name="sentiment_keras")


class _Narrate(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        figures = logs or {}
        say(
            f"sentiment_keras epoch {epoch + 1:2d}/{EPOCHS}: loss {figures['loss']:.3f}, "
            f"validation accuracy {figures['val_accuracy']:.3f}"
        )


def train(tokens: Tokens, labels: Tokens, validation: tuple[Tokens, Tokens], vocabulary: int, out: Path) -> None:
    """Train, keep the epoch that does best on the validation split, write the model."""
    keras.utils.set_random_seed(SEED)
    model = build(vocabulary)
    model.compile(
        optimizer=keras.optimizers.AdamW(RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    keep = keras.callbacks.ModelCheckpoint(str(out / WEIGHTS), monitor="val_accuracy", save_best_only=True)
    model.fit(
        tokens,
        labels,
        validation_data=validation,
        epochs=EPOCHS,
        batch_size=BATCH,
        verbose=0,
        callbacks=[_Narrate(), keep],
    )


def accuracy(out: Path, tokens: Tokens, labels: Tokens) -> float:
    """Accuracy of the model that was written, read back from the file."""
    model = keras.saving.load_model(out / WEIGHTS, safe_mode=True)
    return float((model.predict(tokens, verbose=0).argmax(axis=1) == labels).mean())
