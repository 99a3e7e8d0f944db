"""Small networks of signals and sequences: convolutions, recurrent layers, attention."""

from __future__ import annotations

import keras
from keras import layers
from small_network_parts import CLASSES, closed, network, signal


@network
def conv1d() -> keras.Model:
    inputs = tensor = signal()
    for channels in (8, 8):
        tensor = layers.MaxPooling1D()(layers.Conv1D(channels, 3, activation="relu")(tensor))
    return closed(inputs, tensor)


@network
def conv1d_wide() -> keras.Model:
    inputs = tensor = signal()
    for channels in (32, 48):
        tensor = layers.Conv1D(channels, 5, padding="same", strides=2, use_bias=False)(tensor)
        tensor = layers.ReLU()(layers.BatchNormalization()(tensor))
    return closed(inputs, layers.Dense(32, activation="relu")(layers.Flatten()(tensor)))


@network
def tcn() -> keras.Model:
    inputs = signal()
    tensor = layers.Conv1D(16, 1)(inputs)
    for rate in (1, 2, 4):
        long = layers.Conv1D(16, 3, padding="causal", dilation_rate=rate, activation="relu")(tensor)
        tensor = layers.Add()([tensor, layers.Dropout(0.1)(long)])
    return closed(inputs, tensor)


@network
def wavenet() -> keras.Model:
    inputs = signal()
    tensor = layers.Conv1D(16, 1)(inputs)
    for rate in (1, 2):
        gate = layers.Conv1D(16, 2, padding="causal", dilation_rate=rate, activation="sigmoid")(tensor)
        value = layers.Conv1D(16, 2, padding="causal", dilation_rate=rate, activation="tanh")(tensor)
        tensor = layers.Add()([tensor, layers.Conv1D(16, 1)(layers.Multiply()([gate, value]))])
    return closed(inputs, layers.ReLU()(tensor))


@network
def separable1d() -> keras.Model:
    inputs = tensor = signal()
    for channels in (16, 24):
        tensor = layers.ReLU()(layers.BatchNormalization()(layers.SeparableConv1D(channels, 5, padding="same")(tensor)))
    return closed(inputs, tensor)


@network
def forecast() -> keras.Model:
    inputs = tensor = signal()
    for _ in range(2):
        tensor = layers.Conv1D(24, 3, padding="same", activation="relu")(tensor)
    return keras.Model(inputs, layers.Dense(6)(layers.Flatten()(tensor)))


@network
def lstm() -> keras.Model:
    inputs = signal()
    return closed(inputs, layers.LSTM(24)(inputs))


@network
def lstm_stacked() -> keras.Model:
    inputs = signal()
    return closed(inputs, layers.LSTM(16)(layers.Dropout(0.1)(layers.LSTM(24, return_sequences=True)(inputs))))


@network
def lstm_both_ways() -> keras.Model:
    inputs = signal()
    return closed(inputs, layers.Dense(16, activation="relu")(layers.Bidirectional(layers.LSTM(16))(inputs)))


@network
def lstm_of_words() -> keras.Model:
    inputs = keras.Input((12,), dtype="int32")
    return closed(inputs, layers.LSTM(16)(layers.Embedding(200, 12, mask_zero=True)(inputs)))


@network
def lstm_of_frames() -> keras.Model:
    inputs = keras.Input((6, 8, 8, 1))
    frames = layers.TimeDistributed(layers.Conv2D(6, 3, activation="relu"))(inputs)
    frames = layers.TimeDistributed(layers.Flatten())(frames)
    return closed(inputs, layers.LSTM(12)(layers.TimeDistributed(layers.Dense(16, activation="relu"))(frames)))


@network
def gru() -> keras.Model:
    inputs = signal()
    return closed(inputs, layers.GRU(24)(inputs))


@network
def gru_after_convolution() -> keras.Model:
    inputs = signal()
    tensor = layers.Conv1D(16, 3, strides=2, activation="relu")(inputs)
    return closed(inputs, layers.GRU(16)(layers.MaxPooling1D()(tensor)))


@network
def simple_rnn() -> keras.Model:
    inputs = keras.Input((12, 6))
    return closed(inputs, layers.SimpleRNN(24)(inputs))


@network
def tagger() -> keras.Model:
    inputs = signal()
    tensor = layers.Bidirectional(layers.GRU(12, return_sequences=True))(inputs)
    return keras.Model(inputs, layers.TimeDistributed(layers.Dense(CLASSES, activation="softmax"))(tensor))


@network
def transformer() -> keras.Model:
    inputs = signal()
    tensor = layers.Dense(24)(inputs)
    for _ in range(2):
        seen = layers.MultiHeadAttention(2, 12)(tensor, tensor)
        tensor = layers.LayerNormalization()(layers.Add()([tensor, seen]))
        wide = layers.Dense(24)(layers.Dense(48, activation="relu")(tensor))
        tensor = layers.LayerNormalization()(layers.Add()([tensor, wide]))
    return closed(inputs, tensor)


@network
def transformer_of_words() -> keras.Model:
    inputs = keras.Input((12,), dtype="int32")
    tensor = layers.Embedding(200, 24)(inputs)
    normal = layers.LayerNormalization()(tensor)
    tensor = layers.Add()([tensor, layers.MultiHeadAttention(3, 8)(normal, normal)])
    wide = layers.Dense(64, activation="gelu")(layers.LayerNormalization()(tensor))
    return closed(inputs, layers.Add()([tensor, layers.Dense(24)(wide)]))


@network
def attention_over_time() -> keras.Model:
    inputs = signal()
    tensor = layers.Conv1D(16, 3, activation="relu")(inputs)
    weights = layers.Softmax(axis=1)(layers.Dense(1)(tensor))
    return closed(inputs, layers.Flatten()(layers.Dot(axes=1)([weights, tensor])))


@network
def attention_dot() -> keras.Model:
    inputs = signal()
    query, value = layers.Dense(16)(inputs), layers.Dense(16)(inputs)
    return closed(inputs, layers.Attention()([query, value]))


@network
def attention_grouped() -> keras.Model:
    inputs = signal()
    tensor = layers.Dense(16)(inputs)
    return closed(inputs, layers.Add()([tensor, layers.GroupQueryAttention(8, 4, 2)(tensor, tensor)]))
