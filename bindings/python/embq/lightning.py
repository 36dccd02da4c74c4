"""Score validation embeddings in PyTorch Lightning.

Needs Lightning: ``pip install 'embq[lightning]'``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ._collecting import Collected, Failure, Scorer, gathered, scored_in_first_process

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningModule, Trainer
else:
    try:
        from lightning.pytorch import Callback
    except ModuleNotFoundError:
        try:
            from pytorch_lightning import Callback
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "embq.lightning needs Lightning: pip install 'embq[lightning]'", name="lightning"
            ) from error

__all__ = ["EmbeddingQuality"]


class EmbeddingQuality(Callback):
    """Score the embeddings of every validation and test epoch, and log the metrics by name.

    They go through the module's own logging: to every logger of the trainer (TensorBoard, MLflow, Weights & Biases,
    CSV), to ``trainer.callback_metrics``, and so to ``ModelCheckpoint(monitor="val_silhouette", mode="max")``.

    ``validation_step`` must return embeddings and labels, as
    ``{"loss": loss, "embeddings": embeddings, "labels": labels}``.

    Parameters
    ----------
    collect : callable, optional
        Called as ``collect(outputs, batch)`` with what the step returned and its batch; returns embeddings of shape
        (n, d) and labels of shape (n,). By default these are ``outputs["embeddings"]`` and ``outputs["labels"]``.
    prefix : str, default="{stage}_"
        The prefix of the names; "{stage}" is "val" or "test".
    log : list of str, optional
        The names of the numbers to log; by default all that are computed.
    on_failure : {"warn", "raise"}, default="warn"
        What to do if the embeddings cannot be scored, for example because they are not finite.
    **options
        Parameters of :func:`embq.score`, for example ``metric="euclidean"`` or ``metrics=["silhouette", "retrieval"]``.

    Attributes
    ----------
    results : list of embq.Result
        The results of the last epoch, one per data loader, None where rows could not be scored. Only on the first
        process.

    Notes
    -----
    Embeddings are kept in main memory until the epoch ends; those of all processes are gathered on the first. A
    distributed sampler repeats some rows so that every process has the same number, and these count twice. With several
    data loaders, names end in "/dataloader_idx_0" and so on, like Lightning's. The sanity check before training is not
    scored.

    Examples
    --------
    >>> from embq.lightning import EmbeddingQuality
    >>> callback = EmbeddingQuality(log=["silhouette", "soft_silhouette"], metric="cosine")
    >>> callback.prefix
    '{stage}_'
    >>> # Trainer(callbacks=[callback, ModelCheckpoint(monitor="val_silhouette", mode="max")])
    """

    def __init__(
        self,
        collect: Callable[[Any, Any], tuple[Any, Any]] | None = None,
        *,
        prefix: str = "{stage}_",
        log: Iterable[str] | None = None,
        on_failure: Failure = "warn",
        **options: Any,
    ) -> None:
        super().__init__()
        self.collect = _by_name if collect is None else collect
        self.prefix = prefix
        self.results: list[Any] = []
        self._scorer = Scorer(log, on_failure, options)
        self._collected: dict[int, Collected] = {}

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self._collected = {}

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self._collected = {}

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the batch."""
        self._keep(trainer, outputs, batch, dataloader_idx)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the batch."""
        self._keep(trainer, outputs, batch, dataloader_idx)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score and log."""
        self._log(trainer, pl_module, "val", trainer.num_val_batches)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score and log."""
        self._log(trainer, pl_module, "test", trainer.num_test_batches)

    def _keep(self, trainer: Trainer, outputs: Any, batch: Any, loader: int) -> None:
        if not trainer.sanity_checking:
            self._collected.setdefault(loader, Collected()).add(*self.collect(outputs, batch))

    def _log(self, trainer: Trainer, module: LightningModule, stage: str, loaders: list[int | float]) -> None:
        if trainer.sanity_checking:
            return
        self.results = []
        for loader in range(len(loaders)):
            parts = gathered(self._collected.get(loader, Collected()))
            result, numbers = scored_in_first_process(self._scorer, parts)
            self.results.append(result)
            end = f"/dataloader_idx_{loader}" if len(loaders) > 1 else ""
            prefix = self.prefix.format(stage=stage)
            named = {f"{prefix}{name}{end}": value for name, value in numbers.items()}
            module.log_dict(named, add_dataloader_idx=False, batch_size=1)
        self._collected = {}


def _by_name(outputs: Any, batch: Any) -> tuple[Any, Any]:
    values: dict[str, Any] | None = dict(outputs) if hasattr(outputs, "keys") else None
    if values is None or "embeddings" not in values or "labels" not in values:
        found = type(outputs).__name__ if values is None else f"the keys {', '.join(values)}"
        raise TypeError(
            f"EmbeddingQuality: the step returned {found}; return a dict with embeddings and labels, or give "
            "collect=lambda outputs, batch: (embeddings, labels)"
        )
    return values["embeddings"], values["labels"]
