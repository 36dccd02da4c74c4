"""Score evaluation embeddings in the Trainer of transformers.

Needs transformers: ``pip install 'embq[transformers]'``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

try:
    from transformers import TrainerCallback
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "embq.transformers needs transformers: pip install 'embq[transformers]'", name="transformers"
    ) from error

from ._collecting import Collected, Failure, Scorer, scored_in_first_process

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

__all__ = ["EmbeddingQualityCallback", "mean_pooling"]


class EmbeddingQualityCallback(TrainerCallback):
    """Score the embeddings of every evaluation, and log the metrics by name.

    They go where the trainer's own metrics go, as ``eval_silhouette`` and so on: to ``report_to`` (TensorBoard, MLflow,
    Weights & Biases), to ``trainer.state.log_history``, to the return value of ``trainer.evaluate()``, and so to
    ``metric_for_best_model="silhouette"``.

    Parameters
    ----------
    trainer : transformers.Trainer
        The trainer that the callback is added to, which calls the model and logs.
    embeddings : str or callable, default="embeddings"
        The embeddings of a batch, of shape (n, d): a field of the model's outputs, or a function called as
        ``embeddings(outputs, inputs)``, such as :func:`mean_pooling`.
    labels : str or callable, default="labels"
        Their labels, of shape (n,): a field of the model's inputs, or a function called as ``labels(outputs, inputs)``.
    log : list of str, optional
        The names of the numbers to log; by default all that are computed.
    on_failure : {"warn", "raise"}, default="warn"
        What to do if the embeddings cannot be scored, for example because they are not finite.
    **options
        Parameters of :func:`embq.score`, for example ``metric="euclidean"`` or ``metrics=["silhouette", "retrieval"]``.

    Attributes
    ----------
    result : embq.Result
        The result of the last evaluation, None if the rows could not be scored. Only on the first process.

    Notes
    -----
    Embeddings are kept in main memory until the evaluation ends. The rows of all processes are scored on the first;
    rows that accelerate repeats so that every process has the same number are left out.

    Examples
    --------
    >>> from embq.transformers import EmbeddingQualityCallback, mean_pooling
    >>> def add_to(trainer):
    ...     trainer.add_callback(EmbeddingQualityCallback(trainer, embeddings=mean_pooling, log=["silhouette"]))
    """

    def __init__(
        self,
        trainer: Trainer,
        *,
        embeddings: str | Callable[[Any, dict[str, Any]], Any] = "embeddings",
        labels: str | Callable[[Any, dict[str, Any]], Any] = "labels",
        log: Iterable[str] | None = None,
        on_failure: Failure = "warn",
        **options: Any,
    ) -> None:
        self.embeddings = embeddings
        self.labels = labels
        self.result: Any = None
        self._trainer = trainer
        self._scorer = Scorer(log, on_failure, options)
        self._collected = Collected()
        self._batch: tuple[Any, Any] | None = None
        self._watch(trainer)

    def _watch(self, trainer: Trainer) -> None:
        """Keep the model's outputs for a batch, which no event of the trainer provides."""
        compute_loss: Any = trainer.compute_loss

        def compute_and_keep(model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:
            # Copied before the call, because the trainer removes the labels to smooth them.
            before: dict[str, Any] = dict(inputs)
            loss: Any = compute_loss(model, inputs, *arguments, **options)
            with_outputs = loss
            if isinstance(with_outputs, tuple) and not model.training:
                self._batch = self._values(with_outputs[1], before)
            return loss

        trainer.compute_loss = compute_and_keep  # type: ignore[method-assign]

    def _values(self, outputs: Any, inputs: dict[str, Any]) -> tuple[Any, Any]:
        if callable(self.embeddings):
            embeddings = self.embeddings(outputs, inputs)
        else:
            embeddings = _field(outputs, self.embeddings, "embeddings", "outputs")
        if callable(self.labels):
            return embeddings, self.labels(outputs, inputs)
        return embeddings, _field(inputs, self.labels, "labels", "inputs")

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Keep the batch."""
        if self._batch is not None:
            accelerator: Any = self._trainer.accelerator
            batch = accelerator.gather_for_metrics(self._batch)
            if state.is_world_process_zero:
                self._collected.add(*batch)
            self._batch = None

    def on_predict(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: Any, **kwargs: Any
    ) -> None:
        """Discard the rows of a prediction."""
        self._collected, self._batch = Collected(), None

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Score and log."""
        collected, self._collected = self._collected, Collected()
        parts = [collected] if state.is_world_process_zero else None
        self.result, found = scored_in_first_process(self._scorer, parts)
        metrics = {} if metrics is None else metrics
        # "eval", or "eval_NAME" for one of several data sets.
        prefix = next((name.removesuffix("_runtime") for name in metrics if name.endswith("_runtime")), "eval")
        numbers = {f"{prefix}_{name}": value for name, value in found.items()}
        metrics.update(numbers)
        if numbers:
            self._trainer.log(numbers)


def mean_pooling(outputs: Any, inputs: Mapping[str, Any]) -> Tensor:
    """The mean of the last layer over the tokens that are not masked.

    Parameters
    ----------
    outputs : transformers.utils.ModelOutput
        With ``last_hidden_state``, or with ``hidden_states``, which task models return if
        ``model.config.output_hidden_states = True``.
    inputs : mapping
        With ``attention_mask``; without it, all tokens count.

    Returns
    -------
    Tensor of shape (n, d)

    Examples
    --------
    >>> import torch
    >>> from embq.transformers import mean_pooling
    >>> outputs = {"last_hidden_state": torch.tensor([[[1.0], [3.0], [100.0]]])}
    >>> mean_pooling(outputs, {"attention_mask": torch.tensor([[1, 1, 0]])})
    tensor([[2.]])
    """
    if outputs.get("last_hidden_state") is not None:
        hidden: Tensor = outputs["last_hidden_state"]
    elif outputs.get("hidden_states") is not None:
        hidden = outputs["hidden_states"][-1]
    else:
        raise ValueError(
            "mean_pooling needs hidden states, and the model returned "
            f"{', '.join(outputs)}; set model.config.output_hidden_states = True"
        )
    mask: Tensor | None = inputs.get("attention_mask")
    if mask is None:
        return hidden.mean(1)
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def _field(values: Any, name: str, parameter: str, whose: str) -> Any:
    fields: dict[str, Any] | None = dict(values) if hasattr(values, "keys") else None
    if fields is not None and fields.get(name) is not None:
        return fields[name]
    found = f"a {type(values).__name__}" if fields is None else ", ".join(fields)
    raise ValueError(
        f"EmbeddingQualityCallback: there is no {name!r} among the model's {whose} ({found}); "
        f"{parameter}= takes another name, or a function of outputs and inputs such as mean_pooling"
    )
