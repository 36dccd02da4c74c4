"""Shared by the callbacks: collects rows batch by batch and scores them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import torch.distributed

Failure = Literal["warn", "raise"]


class Collected:
    """Embeddings and labels of the batches of an evaluation."""

    def __init__(self) -> None:
        self.embeddings: list[np.ndarray[Any, Any]] = []
        self.labels: list[np.ndarray[Any, Any]] = []

    def add(self, embeddings: Any, labels: Any) -> None:
        """Keep a batch: embeddings (n, d) and labels (n,), tensors on any device or array-likes."""
        rows, codes = _array(embeddings), _array(labels)
        if rows.ndim != 2 or codes.ndim != 1 or len(rows) != len(codes):
            raise ValueError(
                f"embeddings of shape (n, d) and labels of shape (n,) are needed, not {rows.shape} and {codes.shape}"
            )
        self.embeddings.append(rows)
        self.labels.append(codes)

    def arrays(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """All rows and their labels, in order."""
        return np.concatenate(self.embeddings), np.concatenate(self.labels)


class Scorer:
    """Scores rows with `embq.score` and picks the numbers to log."""

    def __init__(self, log: Iterable[str] | None, on_failure: Failure, options: Mapping[str, Any]) -> None:
        if on_failure not in ("warn", "raise"):
            raise ValueError(f"on_failure must be 'warn' or 'raise', not {on_failure!r}")
        if isinstance(log, str):
            raise TypeError(f"log must be a list of names, not {log!r}; [{log!r}] is one")
        self.log = None if log is None else list(log)
        self.on_failure = on_failure
        # A second progress bar would interfere with that of the training.
        self.options: dict[str, Any] = {"progress": False, **options}

    def __call__(self, parts: Iterable[Collected]) -> tuple[Any, dict[str, float]]:
        """The result, or None if the rows cannot be scored, and the numbers to log, without undefined ones."""
        import embq

        arrays = [part.arrays() for part in parts if part.embeddings]
        try:
            if not arrays:
                raise ValueError("there are no rows")
            embeddings = np.concatenate([rows for rows, _ in arrays])
            result: Any = embq.score(embeddings, np.concatenate([labels for _, labels in arrays]), **self.options)
        except ValueError as error:
            if self.on_failure == "raise":
                raise
            # A model that collapsed early should not abort the training.
            warnings.warn(f"embq could not score these embeddings: {error}", RuntimeWarning, stacklevel=2)
            return None, {}
        metrics: Mapping[str, float | None] = result.metrics
        wanted = list(metrics) if self.log is None else self.log
        unknown = [name for name in wanted if name not in metrics]
        if unknown:
            raise KeyError(f"log: embq did not compute {', '.join(unknown)}; it computed {', '.join(metrics)}")
        values = {name: metrics[name] for name in wanted}
        return result, {
            name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)
        }


def gathered(collected: Collected) -> list[Collected] | None:
    """The collected rows of every process, on the first; None on the others."""
    if not _in_process_group():
        return [collected]
    parts: list[Any] | None = None
    if torch.distributed.get_rank() == 0:
        parts = [None] * torch.distributed.get_world_size()
    torch.distributed.gather_object(collected, parts)
    return parts


def scored_in_first_process(scorer: Scorer, parts: Iterable[Collected] | None) -> tuple[Any, dict[str, float]]:
    """The result, on the first process only, and the numbers, on all, so that each logs and compares the same.

    `parts` is None on all but the first.
    """
    result: Any = None
    outcome: list[Any] = [{}]
    try:
        if parts is not None:
            result, outcome[0] = scorer(parts)
    except Exception as error:
        if not _in_process_group():
            raise
        # Raised in every process below, because the others wait for this one.
        outcome[0] = error
    if _in_process_group():
        torch.distributed.broadcast_object_list(outcome)
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return result, outcome[0]


def _in_process_group() -> bool:
    return bool(torch.distributed.is_available() and torch.distributed.is_initialized())


def _array(values: Any) -> np.ndarray[Any, Any]:
    """A NumPy array that owns its memory."""
    if hasattr(values, "detach"):
        values = values.detach()
        # NumPy has no bfloat16.
        if values.is_floating_point() and values.element_size() < 4:
            values = values.float()
        values = values.cpu().numpy()
    return np.array(values)
