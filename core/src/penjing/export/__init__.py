"""From a Keras model to files: .tflite by the LiteRT converter, C arrays for microcontrollers."""
