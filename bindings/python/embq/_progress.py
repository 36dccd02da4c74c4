"""Progress bars by tqdm, where a user can see them."""

from __future__ import annotations

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._embq import Manner

_PATIENCE = 0.5
"""Seconds: a call that ends sooner shows no bar."""


class _Bars:
    """One bar per stage."""

    def __init__(self) -> None:
        self.wanted = True
        self.started = time.monotonic()
        self.stage = ""
        self.bar: Any = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        if not self.wanted or time.monotonic() - self.started < _PATIENCE:
            return
        if stage != self.stage:
            self.close()
            self.stage = stage
            if stage:
                self.bar = self._new(stage, total)
        if self.bar is not None:
            self.bar.update(min(done, total) - self.bar.n)

    def _new(self, stage: str, total: int) -> Any:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            self.wanted = False
            return None
        return tqdm(total=total, desc=stage, leave=False, unit_scale=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def _is_seen() -> bool:
    """Whether standard error is a terminal or a notebook."""
    if "ipykernel" in sys.modules:
        return True
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


class watched:
    """How the extension runs: the number of threads and the progress callback."""

    def __init__(self, n_jobs: int | None, progress: bool | None) -> None:
        wanted = _is_seen() if progress is None else bool(progress)
        self.n_jobs = None if n_jobs is None else int(n_jobs)
        self.bars = _Bars() if wanted else None

    def __enter__(self) -> Manner:
        return {"n_jobs": self.n_jobs, "progress": self.bars}

    def __exit__(self, *_raised: object) -> None:
        if self.bars is not None:
            self.bars.close()
