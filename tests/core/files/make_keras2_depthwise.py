"""Made keras2_depthwise.h5 and keras2_depthwise.npz with tf-keras (Keras 2), in an environment of its own:

python make_keras2_depthwise.py
"""

from pathlib import Path

import numpy as np
import tf_keras

tf_keras.utils.set_random_seed(0)
layers = tf_keras.layers
inputs = tf_keras.Input((6, 6, 2))
x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(inputs)
x = layers.BatchNormalization(name="norm")(x)
x = layers.ReLU(6.0, name="relu")(x)
x = layers.Conv2D(64, 3, name="pointwise")(x)
x = layers.GlobalAveragePooling2D(name="pool")(x)
outputs = layers.Dense(3, activation="softmax", name="classes")(x)
model = tf_keras.Model(inputs, outputs)
samples = np.random.default_rng(0).normal(size=(5, 6, 6, 2)).astype("float32")
here = Path(__file__).parent
model.save(here / "keras2_depthwise.h5")
np.savez(here / "keras2_depthwise.npz", x=samples, y=model.predict(samples, verbose=0))
