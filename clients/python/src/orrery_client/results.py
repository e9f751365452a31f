"""What calls give back, the same for both clients."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from orrery.v1 import artifact_pb2

from . import frames


@dataclass(frozen=True)
class Artifact:
    """A version of a family: its header and its body."""

    header: artifact_pb2.ArtifactHeader
    #: Canonical UTF-8 JSON whose blake3 is ``header.content``; empty when only the
    #: header was asked for.
    body: bytes
    #: Versions that a slow watcher skipped right before this one.
    skipped: int = 0
    #: Newer versions that there were when a watcher was sent this one.
    behind: int = 0
    #: What corrections made of it, when it was asked for as corrected.
    corrected: artifact_pb2.CorrectedRead | None = None

    @classmethod
    def of(cls, reply: artifact_pb2.GetArtifactResponse) -> Artifact:
        """The artifact of a reply."""
        found = reply.artifact
        corrected = reply.corrected if reply.HasField("corrected") else None
        return cls(found.header, found.body, corrected=corrected)

    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)

    @property
    def created_at(self) -> int:
        """Nanoseconds since 1970 at which it was made, in the journal's time."""
        return frames.nanos(self.header.created_at)

    def rows(self, *path: str) -> list[dict[str, Any]]:
        """A list of objects inside of the body, such as ``rows("by_strike")``; of an
        object its values."""
        found = self.json()
        for name in path:
            found = found[name]
        return list(found.values() if isinstance(found, dict) else found)

    def to_pandas(self, *path: str) -> Any:
        """:meth:`rows` as a ``pandas.DataFrame``; inner objects as ``a.b`` columns."""
        import pandas

        return pandas.json_normalize(self.rows(*path))

    def to_polars(self, *path: str) -> Any:
        """:meth:`rows` as a ``polars.DataFrame``."""
        import polars

        return polars.DataFrame(self.rows(*path), infer_schema_length=None)


@dataclass(frozen=True)
class Proof:
    """A self-contained proof, and the key that checks it."""

    #: One JSON document, as ``docs/proofs.md`` explains it.
    bundle: bytes
    #: ``name+id+base64``.
    key: str

    def json(self) -> Any:
        """The bundle's value."""
        return json.loads(self.bundle)
