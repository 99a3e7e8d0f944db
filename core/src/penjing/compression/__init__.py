"""The engine: techniques that make a Keras model smaller, and the pipeline that runs a recipe of them."""
