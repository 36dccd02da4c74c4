"""Rows of partitions that workers keep in files between two passes, where an engine takes long to hand them over again."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any


@dataclass(frozen=True)
class KeptRows:
    """Arrow batches of partitions, a file for each, in a folder of their own.

    `folder` is where this folder is; empty for the temporary files of the executor.
    """

    folder: str
    name: str

    @classmethod
    def new(cls, folder: str) -> KeptRows:
        return cls(folder, f"embq-{uuid4().hex}")

    def _path(self, number: int | None = None) -> str:
        # Spark removes these folders when it ends, whatever happens before.
        folder = self.folder or os.environ.get("SPARK_LOCAL_DIRS", "").partition(",")[0] or tempfile.gettempdir()
        folder = os.path.join(folder, self.name)
        return folder if number is None else os.path.join(folder, f"{number}.arrow")

    def keep(self, batches: Iterable[Any], number: int) -> Iterator[Any]:
        """The batches of a partition, which are kept as they go by. Without the room for them they only go by."""
        import pyarrow as pa

        path = self._path(number)
        # A second attempt at the same partition may run beside the first.
        unfinished = f"{path}.{uuid4().hex}"
        file: Any = None
        writer: Any = None
        try:
            with suppress(OSError):
                os.makedirs(self._path(), mode=0o700, exist_ok=True)
                file = pa.OSFile(unfinished, "wb")
            for batch in batches:
                if file is not None:
                    try:
                        writer = writer or pa.ipc.new_file(file, batch.schema)
                        writer.write_batch(batch)
                    except OSError:
                        _close(file)
                        file = None
                yield batch
            if file is not None:
                with suppress(OSError):
                    if writer is not None:
                        writer.close()
                    file.close()
                    os.replace(unfinished, path)
        finally:
            if file is not None:
                _close(file)
            with suppress(OSError):
                os.remove(unfinished)

    def rows(self, number: int) -> Iterator[Any] | None:
        """The batches of a partition; None if they are not here."""
        path = self._path(number)
        try:
            is_empty = os.path.getsize(path) == 0
        except OSError:
            return None
        return iter(()) if is_empty else _batches(path)

    def forget(self, number: int) -> None:
        """Removes the rows of a partition, and with the last of them the folder."""
        with suppress(OSError):
            os.remove(self._path(number))
            os.rmdir(self._path())

    def forget_all(self) -> None:
        """Removes all rows."""
        shutil.rmtree(self._path(), ignore_errors=True)


def _batches(path: str) -> Iterator[Any]:
    import pyarrow as pa

    with pa.memory_map(path) as source:
        reader = pa.ipc.open_file(source)
        for place in range(reader.num_record_batches):
            yield reader.get_batch(place)


def _close(file: Any) -> None:
    with suppress(OSError):
        file.close()
