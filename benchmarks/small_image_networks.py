"""Small networks of images and volumes, as people build them for devices."""

from __future__ import annotations

import keras
from keras import layers
from small_network_parts import CLASSES, closed, convolution, image, network


@network
def lenet() -> keras.Model:
    return keras.Sequential(
        [
            image(),
            layers.Conv2D(6, 5, activation="tanh", padding="same"),
            layers.AveragePooling2D(2),
            layers.Conv2D(16, 5, activation="tanh"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(60, activation="tanh"),
            layers.Dense(40, activation="tanh"),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


@network
def cnn() -> keras.Model:
    inputs = tensor = image()
    for channels in (16, 24, 32):
        tensor = layers.ReLU()(convolution(tensor, channels, strides=2))
    return closed(inputs, tensor)


@network
def cnn_relu_layers() -> keras.Model:
    inputs = tensor = image()
    for channels in (16, 24):
        tensor = layers.MaxPooling2D()(layers.Activation("relu")(layers.Conv2D(channels, 3)(tensor)))
    return closed(inputs, layers.Dense(32, activation="relu")(layers.Flatten()(tensor)))


@network
def cnn_rescaled() -> keras.Model:
    inputs = image()
    tensor = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    tensor = layers.ZeroPadding2D(1)(tensor)
    for channels in (12, 24):
        tensor = layers.Conv2D(channels, 3, strides=2, activation="relu6")(tensor)
    return closed(inputs, layers.SpatialDropout2D(0.1)(tensor))


@network
def cnn_dilated() -> keras.Model:
    inputs = tensor = image()
    for rate in (1, 2, 4):
        tensor = layers.Conv2D(16, 3, padding="same", dilation_rate=rate, activation="relu")(tensor)
    return closed(inputs, tensor)


@network
def cnn_regression() -> keras.Model:
    inputs = tensor = image()
    for channels in (12, 16):
        tensor = layers.Conv2D(channels, 3, strides=2, activation="relu")(tensor)
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalMaxPooling2D()(tensor)))


@network
def mobilenet() -> keras.Model:
    inputs = image()
    tensor = layers.ReLU(6.0)(convolution(inputs, 16, strides=2))
    for channels in (24, 32, 48):
        tensor = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(tensor)
        tensor = layers.ReLU(6.0)(layers.BatchNormalization()(tensor))
        tensor = layers.ReLU(6.0)(convolution(tensor, channels, 1))
    return closed(inputs, tensor)


@network
def inverted_residual() -> keras.Model:
    inputs = image()
    tensor = layers.ReLU(6.0)(convolution(inputs, 16, strides=2))
    for _ in range(3):
        wide = layers.ReLU(6.0)(convolution(tensor, 48, 1))
        wide = layers.ReLU(6.0)(
            layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same", use_bias=False)(wide))
        )
        tensor = layers.Add()([tensor, convolution(wide, 16, 1)])
    return closed(inputs, tensor)


@network
def separable() -> keras.Model:
    inputs = tensor = image()
    for channels in (16, 32):
        tensor = layers.SeparableConv2D(channels, 3, padding="same", activation="relu")(tensor)
    return closed(inputs, tensor)


@network
def resnet() -> keras.Model:
    inputs = image()
    tensor = layers.ReLU()(convolution(inputs, 12))
    for channels, strides in ((12, 1), (24, 2)):
        short = tensor if strides == 1 else convolution(tensor, channels, 1, strides=strides)
        long = convolution(layers.ReLU()(convolution(tensor, channels, strides=strides)), channels)
        tensor = layers.ReLU()(layers.Add()([short, long]))
    return closed(inputs, tensor)


@network
def resnet_preactivated() -> keras.Model:
    inputs = image()
    tensor = layers.Conv2D(16, 3, padding="same")(inputs)
    for _ in range(3):
        long = layers.Conv2D(16, 3, padding="same")(layers.ReLU()(layers.BatchNormalization()(tensor)))
        tensor = layers.Add()([tensor, long])
    return closed(inputs, layers.ReLU()(layers.BatchNormalization()(tensor)))


@network
def densenet() -> keras.Model:
    inputs = image()
    tensor = layers.Conv2D(12, 3, padding="same")(inputs)
    for _ in range(3):
        grown = layers.Conv2D(8, 3, padding="same")(layers.ReLU()(layers.BatchNormalization()(tensor)))
        tensor = layers.Concatenate()([tensor, grown])
    return closed(inputs, layers.AveragePooling2D(2)(tensor))


@network
def squeeze_excite() -> keras.Model:
    inputs = image()
    tensor = layers.ReLU()(convolution(inputs, 24, strides=2))
    for _ in range(2):
        gate = layers.GlobalAveragePooling2D(keepdims=True)(tensor)
        gate = layers.Conv2D(24, 1, activation="hard_sigmoid")(layers.Conv2D(8, 1, activation="relu")(gate))
        tensor = layers.Multiply()([layers.ReLU()(convolution(tensor, 24)), gate])
    return closed(inputs, tensor)


@network
def squeeze_excite_dense() -> keras.Model:
    inputs = image()
    tensor = layers.Activation("silu")(convolution(inputs, 24, strides=2))
    gate = layers.Dense(6, activation="silu")(layers.GlobalAveragePooling2D()(tensor))
    gate = layers.Reshape((1, 1, 24))(layers.Dense(24, activation="sigmoid")(gate))
    return closed(inputs, convolution(layers.Multiply()([tensor, gate]), 32))


@network
def shuffle() -> keras.Model:
    inputs = image()
    tensor = layers.ReLU()(convolution(inputs, 16, strides=2))
    for _ in range(2):
        mixed = layers.Reshape((8, 8, 4, 4))(layers.Conv2D(16, 1, groups=4)(tensor))
        mixed = layers.Reshape((8, 8, 16))(layers.Permute((1, 2, 4, 3))(mixed))
        mixed = layers.ReLU()(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(mixed)))
        tensor = layers.Add()([tensor, layers.Conv2D(16, 1, groups=4)(mixed)])
    return closed(inputs, tensor)


@network
def inception() -> keras.Model:
    inputs = image()
    tensor = layers.Conv2D(16, 3, strides=2, activation="relu")(inputs)
    branches = [layers.Conv2D(8, size, padding="same", activation="relu")(tensor) for size in (1, 3, 5)]
    pooled = layers.MaxPooling2D(3, strides=1, padding="same")(tensor)
    return closed(inputs, layers.Concatenate()([*branches, layers.Conv2D(8, 1, activation="relu")(pooled)]))


@network
def factored() -> keras.Model:
    inputs = tensor = image()
    for channels in (16, 24):
        tensor = layers.Conv2D(channels, (3, 1), padding="same", use_bias=False)(tensor)
        tensor = layers.Conv2D(channels, (1, 3), padding="same", activation="relu")(tensor)
    return closed(inputs, tensor)


@network
def convnext() -> keras.Model:
    inputs = image()
    tensor = layers.LayerNormalization()(layers.Conv2D(24, 4, strides=4)(inputs))
    for _ in range(2):
        wide = layers.LayerNormalization(epsilon=1e-6)(layers.DepthwiseConv2D(7, padding="same")(tensor))
        wide = layers.Dense(24)(layers.Dense(64, activation="gelu")(wide))
        tensor = layers.Add()([tensor, wide])
    return closed(inputs, tensor)


@network
def group_normalized() -> keras.Model:
    inputs = tensor = image()
    for channels in (16, 24):
        tensor = layers.Conv2D(channels, 3, strides=2, padding="same")(tensor)
        tensor = layers.ReLU()(layers.GroupNormalization(4)(tensor))
    return closed(inputs, tensor)


@network
def unet() -> keras.Model:
    inputs = image()
    first = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    second = layers.Conv2D(16, 3, padding="same", activation="relu")(layers.MaxPooling2D()(first))
    up = layers.Conv2DTranspose(8, 2, strides=2, activation="relu")(second)
    both = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.Concatenate()([up, first]))
    return keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(both))


@network
def unet_classes() -> keras.Model:
    inputs = image()
    first = layers.ReLU()(convolution(inputs, 8))
    second = layers.ReLU()(convolution(layers.MaxPooling2D()(first), 16))
    up = layers.UpSampling2D(interpolation="bilinear")(second)
    both = layers.ReLU()(convolution(layers.Concatenate()([up, first]), 8))
    return keras.Model(inputs, layers.Conv2D(CLASSES, 1, activation="softmax")(both))


@network
def volume() -> keras.Model:
    inputs = tensor = keras.Input((8, 8, 8, 1))
    for channels in (8, 16):
        tensor = layers.MaxPooling3D()(layers.Conv3D(channels, 3, padding="same", activation="relu")(tensor))
    return closed(inputs, tensor)
