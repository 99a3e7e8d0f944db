"""Settings of every technique of the engine, a module each, and of any training.

They stand apart from the techniques so that a recipe is checked at once, without importing TensorFlow.
"""
