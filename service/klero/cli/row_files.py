"""Files of rows, CSV or Parquet, that appear whole or not at all."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, Protocol, Self

from klero.errors import KleroError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

FORMATS = ("csv", "parquet")
# Rows of one group of a Parquet file.
_GROUP_ROWS = 1 << 16


class RowFileError(KleroError):
    """The file cannot be written."""

    message = "{path} cannot be written: {why}"


class _Writer(Protocol):
    def write(self, rows: Sequence[Sequence[Any]]) -> None: ...

    def close(self) -> None: ...


class RowFile:
    """A file of rows at `path`; open from `with` to its end, and only then under its name."""

    def __init__(self, path: Path, columns: Mapping[str, type], *, file_format: str) -> None:
        """Name the file.

        Args:
            path: Replaced if it is there.
            columns: Type of each column by name: int, float, str or bool.
            file_format: One of `FORMATS`.
        """
        self._path = path
        self._unfinished = path.with_name(f"{path.name}.unfinished")
        self._columns = columns
        self._format = file_format
        self._writer: _Writer | None = None
        self.rows = 0

    def __enter__(self) -> Self:
        """Open the file.

        Raises:
            RowFileError: It cannot be made, or pyarrow is missing.
        """
        try:
            if self._format == "csv":
                self._writer = _Csv(self._unfinished, self._columns)
            else:
                self._writer = _Parquet(self._unfinished, self._columns)
        except ImportError as error:
            raise RowFileError(path=self._path, why="Parquet needs pyarrow: pip install 'klero[parquet]'") from error
        except OSError as error:
            raise RowFileError(path=self._path, why=error.strerror or str(error)) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the file its name, or remove it after an error."""
        if self._writer is not None:
            try:
                self._writer.close()
            except OSError as failure:
                self._unfinished.unlink(missing_ok=True)
                raise RowFileError(path=self._path, why=failure.strerror or str(failure)) from failure
        if kind is None:
            self._unfinished.replace(self._path)
        else:
            self._unfinished.unlink(missing_ok=True)

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        """Append rows with a cell for each column.

        Raises:
            RowFileError: The disk refused.
        """
        if self._writer is None or not rows:
            return
        try:
            self._writer.write(rows)
        except OSError as error:
            raise RowFileError(path=self._path, why=error.strerror or str(error)) from error
        self.rows += len(rows)


class _Csv:
    """Comma-separated, UTF-8, a header, line feeds between lines, `true` and `false`."""

    def __init__(self, path: Path, columns: Mapping[str, type]) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._lines = csv.writer(self._file, lineterminator="\n")
        self._lines.writerow(columns)

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        self._lines.writerows([_csv_cell(cell) for cell in row] for row in rows)

    def close(self) -> None:
        self._file.close()


class _Parquet:
    def __init__(self, path: Path, columns: Mapping[str, type]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
        self._schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
        self._table = pa.Table
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._waiting: list[Sequence[Any]] = []

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        self._waiting.extend(rows)
        if len(self._waiting) >= _GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        if self._waiting:
            self._flush()
        self._file.close()

    def _flush(self) -> None:
        columns = zip(*self._waiting, strict=True)
        self._file.write_table(self._table.from_arrays([list(column) for column in columns], schema=self._schema))
        self._waiting.clear()


def _csv_cell(cell: object) -> object:
    return ("true" if cell else "false") if isinstance(cell, bool) else cell
