"""Rows of a CSV or Parquet file, read as they come, each with the place that people find it by."""

from __future__ import annotations

import csv
import gzip
from contextlib import closing
from typing import IO, TYPE_CHECKING, TypeAlias, cast

from klero.definition.near import did_you_mean
from klero.errors import KleroError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    Cell: TypeAlias = object
    """Text in CSV; in Parquet whatever the column holds, None where it has no value."""

PARQUET_SUFFIXES = (".parquet", ".pq")
_DELIMITERS = ",;\t|"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class ImportFileError(KleroError):
    """The file cannot be imported as it is."""

    message = "{path}{place}: {why}"

    def __init__(self, path: Path, why: str, *, line: int | None = None) -> None:
        """Say why, and in which line if there is one."""
        super().__init__(path=path, why=why, place=f":{line}" if line else "")


def is_parquet(path: Path) -> bool:
    """Whether the file is read as Parquet, by its name."""
    return path.suffix in PARQUET_SUFFIXES


def count_rows(path: Path) -> int:
    """Rows of the file, in CSV roughly: for a progress bar.

    Raises:
        ImportFileError: It cannot be read.
    """
    try:
        if is_parquet(path):
            return int(_parquet(path).metadata.num_rows)
        with _open(path) as lines:
            return max(0, sum(1 for _ in lines) - 1)
    except (OSError, EOFError) as error:
        raise _unreadable(path, error) from error


def rows(path: Path, columns: Sequence[str], *, encoding: str) -> Iterator[tuple[int, list[Cell] | str]]:
    """The cells of `columns`, in their order, each row with its number.

    Args:
        path: CSV with a header, `.gz` or not, or Parquet by its name.
        columns: Names in the header; at least one.
        encoding: Of a CSV file; one that keeps ASCII, such as `utf-8` or `latin-1`.

    Returns:
        In CSV the line on which a row begins, in Parquet the row, both from 1. In place of the
        cells what is wrong, if their number is not the header's.

    Raises:
        ImportFileError: It cannot be read, or lacks a column.
    """
    return _parquet_rows(path, columns) if is_parquet(path) else _csv_rows(path, columns, encoding)


def _csv_rows(path: Path, columns: Sequence[str], encoding: str) -> Iterator[tuple[int, list[Cell] | str]]:
    with closing(_lines(path, encoding)) as lines:
        first = next(lines, "")
        if not first.strip():
            raise ImportFileError(
                path, "the file is empty, its first line must be a header with the names of the columns"
            )
        delimiter = max(_DELIMITERS, key=lambda each: len(next(csv.reader([first], delimiter=each))))
        header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter))]
        wanted = [_index(path, header, column) for column in columns]
        reader = csv.reader(lines, delimiter=delimiter)
        begin = 2
        try:
            for row in reader:
                if len(row) == len(header):
                    yield begin, [row[index] for index in wanted]
                elif row:
                    yield begin, f"{len(row)} cells, the header has {len(header)}"
                begin = reader.line_num + 2
        except csv.Error as error:
            why = str(error)
            if "field larger" in why:
                why = f"a cell has more than {csv.field_size_limit()} characters: is a quote not closed?"
            raise ImportFileError(path, why, line=begin) from error


def _lines(path: Path, encoding: str) -> Generator[str, None, None]:
    """Lines of text, their ends included; what cannot be decoded is named with its line."""
    number = 0
    try:
        with _open(path) as file:
            for number, line in enumerate(file, start=1):
                if number == 1 and line.startswith(_UTF_16):
                    raise ImportFileError(path, "UTF-16 is not read, save the file as UTF-8")
                text = line.decode(encoding)
                yield text.removeprefix("\ufeff") if number == 1 else text
    except UnicodeDecodeError as error:
        why = (
            f"the byte 0x{error.object[error.start]:02x} is not {encoding}: save the file as UTF-8, or give --encoding"
        )
        raise ImportFileError(path, why, line=number) from error
    except LookupError as error:
        raise ImportFileError(path, f"--encoding `{encoding}` is not known, try utf-8 or latin-1") from error
    except (OSError, EOFError) as error:
        raise _unreadable(path, error) from error


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path) if path.suffix == ".gz" else path.open("rb"))


def _parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[Cell] | str]]:
    file = _parquet(path)
    header = list(file.schema_arrow.names)
    for column in columns:
        _index(path, header, column)
    number = 0
    needed = list(dict.fromkeys(columns))
    for batch in file.iter_batches(columns=needed):
        values = {column: batch.column(column).to_pylist() for column in needed}
        for row in zip(*(values[column] for column in columns), strict=True):
            number += 1
            yield number, list(row)


def _parquet(path: Path):  # type: ignore[no-untyped-def]  # noqa: ANN202  # pyarrow has no types
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportFileError(path, "Parquet needs pyarrow: pip install 'klero[parquet]'") from error
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _index(path: Path, header: Sequence[str], name: str) -> int:
    count = header.count(name)
    if count == 1:
        return header.index(name)
    if count:
        raise ImportFileError(path, f"the header has the column `{name}` {count} times, give each a name of its own")
    near = did_you_mean(name, header)
    raise ImportFileError(path, f"no column `{name}`{near or ','} the columns are {', '.join(header)}")


def _unreadable(path: Path, error: Exception) -> ImportFileError:
    return ImportFileError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}")
