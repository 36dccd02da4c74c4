"""Losses for training with PyTorch: the soft silhouette, supervised contrastive loss, and their sum with cross-entropy.

The soft silhouette loss depends on rows only through class means, so a step costs O(N K d) for N rows of d numbers in K
classes, without computing pairs of rows. Values and gradients are those of ``embq grad``.

Needs PyTorch: ``pip install 'embq[torch]'``.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, cast, get_args

try:
    import torch
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("embq.torch needs PyTorch: pip install 'embq[torch]'", name="torch") from error
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

__all__ = ["HybridLoss", "SoftSilhouetteLoss", "SupervisedContrastiveLoss"]

Distance = Literal["cosine", "sqeuclidean", "euclidean"]
SoftMinimum = Literal["weighted", "lse", "hard", "mean"]
SmoothMaximum = Literal["lse", "hard"]
Reduction = Literal["mean", "sum", "none"]


class _Table(NamedTuple):
    """Mean distances of rows to classes, scaled so that nothing overflows."""

    distances: Tensor
    """n x K; includes a row's distance to itself."""
    itself: Tensor
    """A row's distance to itself (n, or one for all)."""
    counts: Tensor
    """The number of rows of each class (K)."""
    tau: Tensor
    """The scaled temperature."""


class SoftSilhouetteLoss(nn.Module):
    r"""The soft silhouette of a batch as a loss: 1 - the mean of s_i.

    For row i, D_ic is the mean distance to the rows of class c, excluding the row itself; a_i is that of its own class,
    b_i a soft minimum over all other classes, and s_i = (b_i - a_i) / m_i, where m_i is a smooth maximum of the two.

    Parameters
    ----------
    temperature : float, default=0.1
        tau, in units of the distance; positive. The default suits cosine distance, whose range is 0 to 2; for the
        others, choose it to suit the data. Can be changed between steps.
    num_classes : int, optional
        K, if labels are 0 to K - 1; a batch need not contain all of them. Without it, labels may be any integers, and
        the classes of each batch are found by sorting; `torch.compile` then breaks the graph, and on a GPU the step
        waits for the device.
    distance : {"cosine", "sqeuclidean", "euclidean"}, default="cosine"
        Euclidean distances have no closed form: they take O(N^2 d) time and O(N^2) memory, and cannot be combined
        with `gather`.
    softmin : {"weighted", "lse", "hard", "mean"}, default="weighted"
        b_i. "weighted": the sum of w_ic D_ic, where w_ic is the softmax of -D_ic / tau; "lse": -tau log of the mean of
        exp(-D_ic / tau); "hard": the smallest, with a subgradient; "mean": the mean.
    softmax : {"lse", "hard"}, default="lse"
        m_i. "lse": tau log(exp(a_i / tau) + exp(b_i / tau)); "hard": max(a_i, b_i), and s_i = 0 where that is 0.
    reduction : {"mean", "sum", "none"}, default="mean"
        The reduction over rows. "none" returns 1 - s_i for every row.
    gather : bool, default=False
        Compute classes over the rows of all processes of `torch.distributed`, by summing class sums (K x d numbers per
        step). The loss and, once averaged by `DistributedDataParallel`, the gradient are exactly those of one process
        with all rows, even if processes have different numbers of rows. "mean" and "sum" are then over all processes,
        "none" over the rows of this one. Requires `num_classes`, and at least one row in every process. Has no effect
        without a process group.

    Notes
    -----
    A row alone in its class has s_i = 0, and so has every row of a batch with a single class: their loss is 1 and their
    gradient 0. They still compete for other rows. Under cosine distance, a zero row is at distance 1 from every other
    row and has a gradient of 0; the same goes for a row whose largest number is subnormal.

    Takes O(N K d) time and O(N (K + d)) memory, except for Euclidean distances.

    Half precision, including autocast, is computed in float32. float32 loses digits if classes have collapsed to
    points. TensorFloat-32 products (``torch.set_float32_matmul_precision("high")``) give distances about three digits.

    On a GPU, class sums are added in any order, unless ``torch.use_deterministic_algorithms(True)``.

    References
    ----------
    "Silhouette Loss" (arXiv:2604.08573).

    P. J. Rousseeuw, "Silhouettes: a graphical aid to the interpretation and validation of cluster analysis", Journal
    of Computational and Applied Mathematics 20 (1987).

    Examples
    --------
    >>> import torch
    >>> from embq.torch import SoftSilhouetteLoss
    >>> embeddings = torch.tensor([[1.0, 0.1], [1.0, 0.3], [0.2, 1.0], [0.4, 1.0]], requires_grad=True)
    >>> labels = torch.tensor([0, 0, 1, 1])
    >>> loss = SoftSilhouetteLoss(temperature=0.1, num_classes=2)(embeddings, labels)
    >>> print(f"{loss.item():.4f}")
    0.0348
    >>> loss.backward()
    >>> tuple(embeddings.grad.shape)
    (4, 2)
    """

    def __init__(
        self,
        temperature: float = 0.1,
        *,
        num_classes: int | None = None,
        distance: Distance = "cosine",
        softmin: SoftMinimum = "weighted",
        softmax: SmoothMaximum = "lse",
        reduction: Reduction = "mean",
        gather: bool = False,
    ) -> None:
        super().__init__()
        _check_temperature("temperature", temperature)
        _check_choice("distance", distance, get_args(Distance))
        _check_choice("softmin", softmin, get_args(SoftMinimum))
        _check_choice("softmax", softmax, get_args(SmoothMaximum))
        _check_choice("reduction", reduction, get_args(Reduction))
        if num_classes is not None and num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, not {num_classes}")
        if gather and num_classes is None:
            raise ValueError("gather=True needs num_classes: every process must know all classes")
        if gather and distance == "euclidean":
            raise ValueError(
                "gather=True sums class means, which Euclidean distances cannot be computed from; "
                'use distance="sqeuclidean" or "cosine", or gather the embeddings before the loss'
            )
        self.temperature = temperature
        self.num_classes = num_classes
        self.distance = distance
        self.softmin = softmin
        self.softmax = softmax
        self.reduction = reduction
        self.gather = gather

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        embeddings : Tensor of shape (n, d)
            Floating point, on any device.
        labels : Tensor of shape (n,)
            The class of each row, integers.

        Returns
        -------
        Tensor of shape () or, for ``reduction="none"``, (n,)
            Between 0 and 2 (its sum with ``reduction="sum"``); float64 for float64 embeddings, otherwise float32.

        Raises
        ------
        ValueError
            If the shapes or types don't fit, or, on the CPU, if a label is not one of 0 to K - 1.
        """
        rows = _checked_rows(embeddings, labels)
        if self.num_classes is None:
            unique = torch.unique(labels, return_inverse=True)  # pyright: ignore
            present, labels = cast("tuple[Tensor, Tensor]", unique)
            classes = present.numel()
        else:
            classes = self.num_classes
            labels = labels.long()
            _check_labels(labels, classes)
        group = self.gather and _in_process_group()
        with torch.autocast(device_type=rows.device.type, enabled=False):
            if self.distance == "euclidean":
                table = self._by_pairs(rows, labels, classes)
            else:
                table = self._closed_form(rows, labels, classes, group)
            losses = 1 - self._scores(labels, table)
            return _reduced(losses, torch.ones_like(losses), self.reduction, group)

    def _closed_form(self, rows: Tensor, labels: Tensor, classes: int, group: bool) -> _Table:
        """From class means; cosine distance is half the squared distance of unit vectors."""
        cosine = self.distance == "cosine"
        if cosine:
            rows, zero = _unit_rows(rows)
            itself = zero.to(rows.dtype)
            tau = torch.full((), _representable(self.temperature, rows), dtype=rows.dtype, device=rows.device)
        else:
            largest = rows.detach().abs().amax()
            if group:
                torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX)
            root = _representable(math.sqrt(self.temperature), rows)
            # With tiny rows, the scaled tau would overflow. A hard maximum only needs the distances.
            unit = _power_of_two(largest.clamp(min=root) if self.softmax == "lse" else largest)
            rows = rows / unit
            itself = rows.new_zeros(())
            tau = (root / unit).square().clamp(_representable(0, rows), _representable(math.inf, rows))

        # Distances don't depend on the origin, and are most accurate with the origin amid the rows.
        centre = torch.cat([rows.detach().sum(0), rows.new_full((1,), len(rows))])
        if group:
            torch.distributed.all_reduce(centre)
        rows = rows - centre[:-1] / centre[-1]

        factor = 0.5 if cosine else 1.0
        squares = factor * (rows * rows).sum(1) + factor * itself
        sums = rows.new_zeros(classes, rows.shape[1]).index_add(0, labels, rows)
        ends = torch.stack([squares, torch.ones_like(squares)], 1)
        ends = ends.new_zeros(classes, 2).index_add(0, labels, ends)
        if group:
            both = _all_reduce(torch.cat([sums, ends], 1))
            sums, ends = both[:, :-2], both[:, -2:]
        counts = ends[:, 1].detach()
        number = counts.clamp(min=1)
        distances = squares[:, None] + ends[:, 0] / number
        distances = torch.addmm(distances, rows, (sums / number[:, None]).T, alpha=-2 * factor)
        return _Table(distances, itself, counts, tau)

    def _by_pairs(self, rows: Tensor, labels: Tensor, classes: int) -> _Table:
        """From the Euclidean distances of all pairs."""
        largest = rows.detach().abs().amax()
        unit = _power_of_two(torch.where(largest == 0, 1, largest))
        tau = (self.temperature / unit).clamp(_representable(0, rows), _representable(math.inf, rows))
        rows = rows / unit
        pairs: Tensor = _Distances.apply(rows - rows.detach().mean(0))  # pyright: ignore
        counts = rows.new_zeros(classes).index_add(0, labels, torch.ones_like(rows[:, 0]))
        sums = rows.new_zeros(len(rows), classes).index_add(1, labels, pairs)
        return _Table(sums / counts.clamp(min=1), rows.new_zeros(()), counts, tau)

    def _scores(self, labels: Tensor, table: _Table) -> Tensor:
        """s_i (n)."""
        distances, itself, counts, tau = table
        number = counts[labels]
        own = distances.gather(1, labels[:, None]).squeeze(1)
        # Finite even for a row that is alone, because 0 times an infinite gradient is not 0.
        a = _at_least_0((number * own - itself) / (number - 1).clamp(min=1))
        competitors = (counts > 0).sum() - 1
        b = _at_least_0(self._soft_minimum(labels, table, competitors))
        if self.softmax == "lse":
            largest = b - tau * functional.logsigmoid((b - a) / tau)
        else:
            largest = torch.where(a > b, a, b)
        # Not `largest > 0`, so that NaN shows in the loss.
        defined = (number > 1) & (competitors > 0) & ~(largest <= 0)
        return torch.where(defined, (b - a) / torch.where(defined, largest, 1), 0)

    def _soft_minimum(self, labels: Tensor, table: _Table, competitors: Tensor) -> Tensor:
        """b_i (n); any finite number if there are no competitors."""
        distances, _, counts, tau = table
        left_out = (torch.arange(len(counts), device=labels.device) == labels[:, None]) | (counts == 0)
        # Subtracting this keeps the exponentials at most 1. It does not affect the result, so it needs no gradient.
        smallest, nearest = distances.detach().masked_fill(left_out, math.inf).min(1, keepdim=True)
        if self.softmin == "hard":
            return distances.gather(1, nearest).squeeze(1)
        smallest = torch.where(competitors > 0, smallest, 0)
        excess = (distances - smallest).masked_fill(left_out, 0)
        if self.softmin == "mean":
            above = excess.sum(1) / competitors.clamp(min=1)
        elif self.softmin == "lse":
            # Sums of exp - 1, because for large tau the exponentials themselves lose all digits.
            above = -tau * torch.log1p(torch.expm1(excess * (-1 / tau)).sum(1) / competitors.clamp(min=1))
        else:
            weights = torch.exp(excess * (-1 / tau)).masked_fill(left_out, 0)
            # The weight of the nearest class is 1.
            above = (weights * excess).sum(1) / weights.sum(1).clamp(min=1)
        return smallest.squeeze(1) + above

    def extra_repr(self) -> str:
        """The parameters, for ``repr``."""
        return (
            f"temperature={self.temperature}, num_classes={self.num_classes}, distance={self.distance!r}, "
            f"softmin={self.softmin!r}, softmax={self.softmax!r}, reduction={self.reduction!r}, gather={self.gather}"
        )


class SupervisedContrastiveLoss(nn.Module):
    r"""Supervised contrastive loss (SupCon, L_out) of one view, by cosine similarity.

    The mean over the rows that have a positive of

    -1 / \|P(i)\| sum over p in P(i) of log(exp(z_i.z_p / t) / sum over a != i of exp(z_i.z_a / t)),

    where z are the unit vectors and P(i) the other rows of the class of row i. Takes O(N^2 d) time and O(N^2) memory.

    Parameters
    ----------
    temperature : float, default=0.1
        t; positive.
    reduction : {"mean", "sum", "none"}, default="mean"
        The reduction over the rows that have a positive. "none" returns the loss of every row, 0 for those without.
    gather : bool, default=False
        Compare with the rows of all processes of `torch.distributed`: loss and averaged gradient are exactly those of
        one process with all rows. Every process then stores the embeddings of all. Has no effect without a process
        group.

    Notes
    -----
    If no row has a positive, the loss and its gradient are 0. Half precision is computed in float32.

    References
    ----------
    P. Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020 (arXiv:2004.11362).

    Examples
    --------
    >>> import torch
    >>> from embq.torch import SupervisedContrastiveLoss
    >>> embeddings = torch.tensor([[1.0, 0.1], [1.0, 0.3], [0.2, 1.0], [0.4, 1.0]])
    >>> loss = SupervisedContrastiveLoss(temperature=0.1)(embeddings, torch.tensor([0, 0, 1, 1]))
    >>> print(f"{loss.item():.4f}")
    0.0196
    """

    def __init__(self, temperature: float = 0.1, *, reduction: Reduction = "mean", gather: bool = False) -> None:
        super().__init__()
        _check_temperature("temperature", temperature)
        _check_choice("reduction", reduction, get_args(Reduction))
        self.temperature = temperature
        self.reduction = reduction
        self.gather = gather

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        embeddings : Tensor of shape (n, d)
            Floating point, on any device.
        labels : Tensor of shape (n,)
            The class of each row, any integers.

        Returns
        -------
        Tensor of shape () or, for ``reduction="none"``, (n,)
            0 or more; float64 for float64 embeddings, otherwise float32.

        Raises
        ------
        ValueError
            If the shapes or types don't fit.
        """
        rows = _checked_rows(embeddings, labels)
        group = self.gather and _in_process_group()
        with torch.autocast(device_type=rows.device.type, enabled=False):
            anchors, _ = _unit_rows(rows)
            all_rows, all_labels, first = (_gathered(anchors, labels)) if group else (anchors, labels, 0)
            similarities = anchors @ all_rows.T / _representable(self.temperature, rows)
            index = torch.arange(len(all_rows), device=rows.device)
            itself = index == first + torch.arange(len(rows), device=rows.device)[:, None]
            positive = (all_labels == labels[:, None]) & ~itself
            positives = positive.sum(1)
            # A single row has nothing to compare with; it is not an anchor.
            others = torch.where(itself & (len(all_rows) > 1), -math.inf, similarities)
            pulled = torch.where(positive, similarities, 0).sum(1) / positives.clamp(min=1)
            losses = torch.where(positives > 0, torch.logsumexp(others, 1) - pulled, 0)
            return _reduced(losses, (positives > 0).to(losses.dtype), self.reduction, group)

    def extra_repr(self) -> str:
        """The parameters, for ``repr``."""
        return f"temperature={self.temperature}, reduction={self.reduction!r}, gather={self.gather}"


class HybridLoss(nn.Module):
    """The weighted sum of cross-entropy, soft silhouette loss and supervised contrastive loss.

    Parameters
    ----------
    cross_entropy, silhouette, supcon : float, default=1
        The weight of each loss; one of weight 0 is not computed.
    temperature : float, default=0.1
        The temperature of the silhouette; see :class:`SoftSilhouetteLoss`, also for `num_classes`, `distance`,
        `softmin` and `softmax`.
    supcon_temperature : float, default=0.1
        The temperature of the supervised contrastive loss; see :class:`SupervisedContrastiveLoss`.
    label_smoothing : float, default=0
        See `torch.nn.functional.cross_entropy`.
    gather : bool, default=False
        Compute the silhouette and contrastive losses over the rows of all processes. Cross-entropy uses the rows of
        each process, as usual.

    References
    ----------
    "Silhouette Loss" (arXiv:2604.08573).

    Examples
    --------
    >>> import torch
    >>> from embq.torch import HybridLoss
    >>> _ = torch.manual_seed(0)
    >>> encoder, head = torch.nn.Linear(8, 4), torch.nn.Linear(4, 3)
    >>> criterion = HybridLoss(cross_entropy=1, silhouette=1, supcon=0.5, num_classes=3)
    >>> embeddings = encoder(torch.randn(12, 8))
    >>> loss = criterion(embeddings, torch.arange(12) % 3, head(embeddings))
    >>> loss.backward()
    >>> sorted(criterion.terms(embeddings, torch.arange(12) % 3, head(embeddings)))
    ['cross_entropy', 'silhouette', 'supcon']
    """

    def __init__(
        self,
        cross_entropy: float = 1,
        silhouette: float = 1,
        supcon: float = 1,
        *,
        temperature: float = 0.1,
        supcon_temperature: float = 0.1,
        num_classes: int | None = None,
        distance: Distance = "cosine",
        softmin: SoftMinimum = "weighted",
        softmax: SmoothMaximum = "lse",
        label_smoothing: float = 0.0,
        gather: bool = False,
    ) -> None:
        super().__init__()
        self.weights = {"cross_entropy": cross_entropy, "silhouette": silhouette, "supcon": supcon}
        for name, weight in self.weights.items():
            if not math.isfinite(weight) or weight < 0:
                raise ValueError(f"the weight {name} must be a finite number of at least 0, not {weight}")
        if not any(self.weights.values()):
            raise ValueError("all weights are 0; give cross_entropy, silhouette or supcon a positive one")
        self.label_smoothing = label_smoothing
        self.silhouette = SoftSilhouetteLoss(
            temperature,
            num_classes=num_classes,
            distance=distance,
            softmin=softmin,
            softmax=softmax,
            gather=gather and silhouette != 0,
        )
        self.supcon = SupervisedContrastiveLoss(supcon_temperature, gather=gather)

    def forward(self, embeddings: Tensor, labels: Tensor, logits: Tensor | None = None) -> Tensor:
        """Compute the weighted sum.

        Parameters
        ----------
        embeddings : Tensor of shape (n, d)
            Floating point, on any device.
        labels : Tensor of shape (n,)
            The class of each row, integers; for cross-entropy, the column of its logit.
        logits : Tensor of shape (n, K), optional
            The output of the classifier for the embeddings; required for cross-entropy.

        Returns
        -------
        Tensor of shape ()
            0 or more.

        Raises
        ------
        ValueError
            If logits are missing, or as in :class:`SoftSilhouetteLoss`.
        """
        terms = self.terms(embeddings, labels, logits)
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()

    def terms(self, embeddings: Tensor, labels: Tensor, logits: Tensor | None = None) -> dict[str, Tensor]:
        """The unweighted losses by name, for logging, without those of weight 0.

        Parameters
        ----------
        embeddings : Tensor of shape (n, d)
        labels : Tensor of shape (n,)
        logits : Tensor of shape (n, K), optional
            As for :meth:`forward`.

        Returns
        -------
        dict of str to Tensor of shape ()
            "cross_entropy", "silhouette" and "supcon".
        """
        terms: dict[str, Tensor] = {}
        # Converted here, so that the gradients of the terms are added before they are rounded to half precision.
        embeddings = _checked_rows(embeddings, labels)
        if self.weights["cross_entropy"]:
            if logits is None:
                raise ValueError("cross-entropy needs logits: loss(embeddings, labels, logits), or cross_entropy=0")
            with torch.autocast(device_type=logits.device.type, enabled=False):
                logits = logits if logits.dtype == torch.float64 else logits.float()
                terms["cross_entropy"] = functional.cross_entropy(
                    logits, labels.long(), label_smoothing=self.label_smoothing
                )
        if self.weights["silhouette"]:
            terms["silhouette"] = self.silhouette(embeddings, labels)
        if self.weights["supcon"]:
            terms["supcon"] = self.supcon(embeddings, labels)
        return terms

    def extra_repr(self) -> str:
        """The weights, for ``repr``."""
        weights = ", ".join(f"{name}={weight}" for name, weight in self.weights.items())
        return f"{weights}, label_smoothing={self.label_smoothing}"


def _check_temperature(name: str, value: float) -> None:
    if isinstance(value, str) or not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a positive number, not {value!r}")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        known = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} must be one of {known}, not {value!r}")


def _checked_rows(embeddings: Tensor, labels: Tensor) -> Tensor:
    """The embeddings in the precision of the loss."""
    if embeddings.dim() != 2 or labels.dim() != 1 or len(embeddings) != len(labels):
        raise ValueError(
            f"embeddings of shape (n, d) and labels of shape (n,) are needed, not {tuple(embeddings.shape)} and "
            f"{tuple(labels.shape)}"
        )
    if embeddings.numel() == 0:
        raise ValueError(f"embeddings of shape {tuple(embeddings.shape)} are empty")
    if not embeddings.is_floating_point():
        raise ValueError(f"embeddings must be floating point, not {embeddings.dtype}")
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"labels must be integers, not {labels.dtype}; labels.long() makes them so")
    return embeddings if embeddings.dtype == torch.float64 else embeddings.float()


def _check_labels(labels: Tensor, classes: int) -> None:
    # Reading a number breaks a compiled graph and blocks on a GPU, where indexing out of bounds is an error anyway.
    if torch.compiler.is_compiling() or labels.device.type != "cpu":
        return
    lowest, highest = labels.aminmax()
    if lowest < 0 or highest >= classes:
        wrong = int(lowest if lowest < 0 else highest)
        raise ValueError(f"the label {wrong} is not one of 0 to {classes - 1} (num_classes={classes})")


def _representable(temperature: float, rows: Tensor) -> float:
    """The temperature, clamped to a range where neither quotients nor products overflow.

    Beyond this range, minimum and maximum are hard in any case, or the loss is 1.
    """
    limits = torch.finfo(rows.dtype)
    return min(max(temperature, limits.tiny / limits.eps), limits.max * limits.eps)


def _at_least_0(distances: Tensor) -> Tensor:
    """Clamp distances that rounding made negative, without changing their gradients."""
    return distances + (distances.clamp(min=0) - distances).detach()


def _power_of_two(size: Tensor) -> Tensor:
    """A power of two near a size, for division without rounding."""
    # The logarithm of the largest number is rounded up.
    largest = math.frexp(torch.finfo(size.dtype).max)[1] - 1
    return torch.exp2(torch.log2(size).floor().clamp(max=largest))


def _unit_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The rows scaled to length 1 (n x d), and which of them are zero (n); these stay zero, with a gradient of 0."""
    # The squares of 1e25 and 1e-25 are out of range in float32.
    largest = rows.detach().abs().amax(1, keepdim=True)
    zero = largest < torch.finfo(rows.dtype).tiny
    scaled = rows / torch.where(zero, math.inf, _power_of_two(largest))
    squares = (scaled * scaled).sum(1, keepdim=True) + zero
    return scaled / squares.sqrt(), zero.squeeze(1)


class _Distances(torch.autograd.Function):
    """Euclidean distances of all pairs (n x n), with derivatives of every order.

    Derivatives between coinciding rows are 0, which is a subgradient. `torch.cdist` is either inexact for close rows,
    when it uses a matrix product, or has only a first derivative.
    """

    @staticmethod
    def forward(rows: Tensor) -> Tensor:
        return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        rows, distances = cast("tuple[Tensor, Tensor]", ctx.saved_tensors)
        apart = distances > 0
        slopes = torch.where(apart, gradients[0] / torch.where(apart, distances, 1), 0)
        slopes = slopes + slopes.T
        return slopes.sum(1, keepdim=True) * rows - slopes @ rows


def _in_process_group() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


class _AllReduce(torch.autograd.Function):
    """The sum over all processes. Its gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: FunctionCtx, numbers: Tensor) -> Tensor:
        numbers = numbers.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(numbers)
        return numbers

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Any) -> Tensor:
        return _all_reduce(gradients[0])


def _all_reduce(numbers: Tensor) -> Tensor:
    total: Tensor = _AllReduce.apply(numbers)
    return total


def _gathered(rows: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, int]:
    """The rows and labels of all processes, in order of rank, and the position of the first row of this one."""
    rank, processes = torch.distributed.get_rank(), torch.distributed.get_world_size()
    lengths = torch.zeros(processes, dtype=torch.long, device=rows.device)
    lengths[rank] = len(rows)
    torch.distributed.all_reduce(lengths)
    total, first = int(lengths.sum()), int(lengths[:rank].sum())
    index = torch.arange(first, first + len(rows), device=rows.device)
    # Summing zero-padded rows supports any number of rows per process, and has the right gradient.
    all_rows = _all_reduce(rows.new_zeros(total, rows.shape[1]).index_copy(0, index, rows))
    all_labels = torch.zeros(total, dtype=torch.long, device=rows.device).index_copy(0, index, labels.long())
    torch.distributed.all_reduce(all_labels)
    return all_rows, all_labels, first


def _reduced(losses: Tensor, counted: Tensor, reduction: str, group: bool) -> Tensor:
    """The mean or sum of the losses for which `counted` is 1, over all processes if there is a group."""
    if reduction == "none":
        return losses
    if reduction == "sum" and not group:
        return losses.sum()
    both = torch.stack([losses.sum(), counted.sum()])
    if group:
        both = _all_reduce(both)
    return both[0] / both[1].clamp(min=1) if reduction == "mean" else both[0]
