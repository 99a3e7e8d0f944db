"""Gradients that know of the promises about their variables."""

from __future__ import annotations

from typing import Any


def constrain_gradients(optimizer: Any) -> None:
    """Pass each gradient through its variable's constraint before the optimizer sees it.

    A constraint acts after an update, when an adaptive optimizer has already divided each weight's gradient by its own
    history. Where weights share a value, the mean of such steps need not lead downhill: 99 weights with gradients of 1
    outvote one with -100. So constraints that have a method `gradient(gradient)` are asked before as well.

    Args:
        optimizer: A Keras optimizer; its `apply` is replaced for this object.
    """
    apply = optimizer.apply

    def constrained(grads: Any, trainable_variables: Any = None) -> Any:
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            grads = [
                constrained_gradient(variable.constraint, gradient)
                for gradient, variable in zip(grads, trainable_variables, strict=True)
            ]
        return apply(grads, trainable_variables)

    optimizer.apply = constrained


def constrained_gradient(constraint: Any, gradient: Any) -> Any:
    """A gradient after every constraint of a chain (`inner` is the one that was there before) has had its say."""
    if constraint is None or gradient is None:
        return gradient
    gradient = constrained_gradient(getattr(constraint, "inner", None), gradient)
    return constraint.gradient(gradient) if hasattr(constraint, "gradient") else gradient
