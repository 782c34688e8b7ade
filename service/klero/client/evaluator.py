"""Deciding for many entities in the caller's process, with the core that the server decides with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from klero import _core
from klero.engine import refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from klero.v1.experiment_pb2 import Snapshot


@dataclass(frozen=True, slots=True)
class Choices:
    """What many entities get, in their order."""

    variant_ids: tuple[str, ...]
    """The control, then the variants in the order of the definition."""

    variants: memoryview
    """Position of each entity's variant in `variant_ids`, native `uint32`; `numpy.asarray` takes it as it is."""

    reasons: memoryview
    """`DecisionReason` of each decision, `uint8`."""


@runtime_checkable
class _ArrowArray(Protocol):
    """What a string array of pyarrow has."""

    offset: int

    def buffers(self) -> list[Any]:
        """Validity, offsets and text."""


class Evaluator:
    """A snapshot that decides; nothing is exposed or recorded by it."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Compile `snapshot`.

        Raises:
            KleroError: Definitions break their rules.
        """
        try:
            self._core = _core.Evaluator(snapshot.SerializeToString())
        except _core.StatusError as error:
            raise refused(error) from error
        self._variant_ids = {
            (each.namespace or "default", each.id): tuple(variant.id for variant in (each.control, *each.variants))
            for each in snapshot.experiments
        }

    def choose(
        self, experiment_id: str, entity_ids: Iterable[str], *, now_ms: int, namespace: str = "default"
    ) -> Choices:
        """Decide for every entity at `now_ms`, Unix milliseconds; other Python threads run meanwhile.

        Args:
            experiment_id: An experiment of the snapshot.
            entity_ids: A list, an array of numpy, or a string array of pyarrow without nulls; of any
                other iterable a list is made. Arrow is the quickest.
            now_ms: Decides about ramps and the expiry of overrides.
            namespace: Of the experiment.

        Raises:
            KleroError: There is no such experiment.
            TypeError: An id is no string.
            ValueError: An Arrow array has nulls or is no array of strings.
        """
        try:
            variants, reasons = self._choose(namespace, experiment_id, entity_ids, now_ms)
        except _core.StatusError as error:
            raise refused(error) from error
        return Choices(self._variant_ids[namespace, experiment_id], memoryview(variants).cast("I"), memoryview(reasons))

    def _choose(
        self, namespace: str, experiment_id: str, entity_ids: Iterable[str], now_ms: int
    ) -> tuple[bytes, bytes]:
        if hasattr(entity_ids, "combine_chunks"):
            entity_ids = entity_ids.combine_chunks()
        if isinstance(entity_ids, _ArrowArray):
            offsets, text = _packed(entity_ids)
            return self._core.choose_packed(namespace, experiment_id, offsets, text, now_ms)
        if hasattr(entity_ids, "tolist"):
            entity_ids = entity_ids.tolist()
        given = entity_ids if isinstance(entity_ids, list) else list(entity_ids)
        return self._core.choose(namespace, experiment_id, given, now_ms)


def _packed(array: Any) -> tuple[memoryview, memoryview]:  # noqa: ANN401  # pyarrow ships no types
    """Offsets and text of a string array, which may be a slice of a larger one."""
    kind = str(array.type)
    if kind not in {"string", "large_string"} or array.null_count:
        message = f"an array of {kind} with {array.null_count} nulls must be one of strings without nulls"
        raise ValueError(message)
    if len(array) == 0:
        return memoryview(b"").cast("i"), memoryview(b"")
    _, offsets, text = array.buffers()
    plain = memoryview(offsets).cast("B")
    offsets = plain.cast("i") if kind == "string" else plain.cast("q")
    return offsets[array.offset : array.offset + len(array) + 1], memoryview(text or b"").cast("B")
