"""When the masks change while a model trains, and what that needs to go on after an interruption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from penjing.compression.losses import Loss
from penjing.compression.pruning.schedules import iterative_sparsity, polynomial_sparsity
from penjing.compression.pruning.sparsity_mask import hold_mask
from penjing.compression.pruning.weight_scores import WeightScores
from penjing.compression.pruning.weight_selection import Pool, Units, select
from penjing.compression.settings.weight_pruning import PruneWeightsSettings
from penjing.contract import StepContext


class MaskSchedule:
    """One pruning: masks that change every `frequency` updates until the final sparsity is reached, then rest.

    Masks, scores and how far the sparsity has come are variables that the training checkpoints, so a training that
    was killed goes on with the very masks that it had.
    """

    def __init__(
        self,
        context: StepContext,
        settings: PruneWeightsSettings,
        variables: Mapping[str, Any],
        *,
        earlier: Mapping[str, np.ndarray],
        pools: Sequence[Pool],
        units: Units,
    ) -> None:
        """
        Args:
            variables: The weight matrices by key.
            earlier: Masks that must not be undone, by key (True = may differ from zero).
            pools: What is ranked together, with final shares.
            units: What goes together.
        """
        self.context = context
        self.settings = settings
        self.earlier = earlier
        self.pools = pools
        self.units = units
        self._masks = {
            key: keras.Variable(
                np.asarray(earlier.get(key, np.ones(v.shape)), "float32"), trainable=False, name=f"mask_{index}"
            )
            for index, (key, v) in enumerate(variables.items())
        }
        self.scores = WeightScores(settings.criterion, variables, self._masks)
        self.reached = keras.Variable(0.0, trainable=False, dtype="float64", name="reached")
        """Share of the final sparsity that the masks have."""
        self.resting = keras.Variable(0, trainable=False, dtype="int32", name="resting")
        """1 once the masks change no more."""
        self.loss: Loss | None = None
        for key, variable in variables.items():
            hold_mask(variable, self._masks[key])

    def masks(self) -> dict[str, np.ndarray]:
        """The masks as they are now (True = kept)."""
        return {key: np.asarray(mask) > 0.5 for key, mask in self._masks.items()}

    def train(self) -> Mapping[str, Sequence[float]]:
        """Train and prune; afterwards the masks have the final sparsity."""
        settings = self.settings
        at_once = settings.criterion == "magnitude" and (settings.schedule_shape == "one-shot" or settings.epochs == 0)
        if at_once:
            self._prune(1.0, rest=True)
        history: Mapping[str, Sequence[float]] = self.context.fit(
            self.context.model,
            settings,
            wrap=self._wrap if settings.criterion != "magnitude" else None,
            on_update=None if at_once else self._on_update,
            state=[*self._masks.values(), *self.scores.variables, self.reached, self.resting],
        )
        # A training too short for the schedule's last change.
        if not int(np.asarray(self.resting)):
            self._prune(1.0, rest=True)
        return history

    def _wrap(self, model: keras.Model, loss: Loss) -> tuple[keras.Model, Loss]:
        self.loss = loss
        return self.scores.wrap(model, loss)

    def _on_update(self, done: int, updates: int) -> None:
        settings = self.settings
        if int(np.asarray(self.resting)) or done % settings.frequency:
            return
        progress = done / updates
        share = self._share_at(progress)
        rest = settings.schedule_shape == "one-shot" or progress >= settings.end
        # Within a round of the iterative schedule the mask stays as it is, so that the network can recover.
        same_round = settings.schedule_shape == "iterative" and share == float(np.asarray(self.reached))
        if share > 0 and not same_round:
            if done == 0 and settings.criterion == "taylor":
                self._first_scores()
            self._prune(share, rest=rest)
        elif rest:
            self.resting.assign(1)

    def _share_at(self, progress: float) -> float:
        """Share of the final sparsity at a point of the training."""
        settings = self.settings
        final = self.pools[0].share if settings.n_m else settings.sparsity
        if settings.schedule_shape == "one-shot":
            return 1.0
        if settings.schedule_shape == "constant":
            return 1.0 if progress >= settings.begin else 0.0
        if settings.schedule_shape == "iterative":
            reached = iterative_sparsity(
                progress, final=final, begin=settings.begin, end=settings.end, rounds=settings.rounds
            )
        else:
            reached = polynomial_sparsity(
                progress,
                initial=min(settings.initial_sparsity, final),
                final=final,
                begin=settings.begin,
                end=settings.end,
            )
        return reached / final

    def _first_scores(self) -> None:
        context = self.context
        assert self.loss is not None
        self.scores.gather_once(
            context.model, self.loss, context.train, context.task, self.settings.score_batches, context.seed
        )

    def _prune(self, share: float, *, rest: bool) -> None:
        gone = self.scores.gone()
        for key, mask in self.earlier.items():
            gone[key] = gone[key] | ~mask
        chosen = select(self.scores.values(), gone, self.pools, self.units, share)
        self.scores.change_masks(
            {key: mask & self.earlier[key] if key in self.earlier else mask for key, mask in chosen.items()}
        )
        self.reached.assign(share)
        self.resting.assign(int(rest))
