"""What a user of Keras does on its NNX backend; `test_packages` runs it on Flax and on Ramie."""

import os
import tempfile

os.environ["KERAS_BACKEND"] = "jax"
os.environ["KERAS_NNX_ENABLED"] = "true"

import json

import flax  # noqa: F401
import keras
import numpy as np
from flax import nnx


class Counting(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.count.assign(self.count + 1)
        return x * 2


def main():
    found = {"library": nnx.Module.__module__.partition(".")[0]}
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    y = (x.sum(1, keepdims=True) > 0).astype("float32")
    layers = [
        keras.Input((8,)),
        keras.layers.Dense(16, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
    model = keras.Sequential(layers)
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=3, batch_size=16, verbose=0, shuffle=False)
    found["history"] = history.history
    predicted = model.predict(x, verbose=0)
    found["predicted"] = predicted.tolist()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        model.save(path)
        again = keras.models.load_model(path)
    found["loaded"] = bool((again.predict(x, verbose=0) == predicted).all())
    found["is_module"] = isinstance(model, nnx.Module)

    layer = Counting()
    layer(x)
    doubled = nnx.jit(lambda layer, x: layer(x))(layer, x)
    found["jit"] = [np.asarray(doubled).sum().item(), float(layer.count.value)]
    print(json.dumps(found))


main()
