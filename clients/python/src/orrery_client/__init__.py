"""A typed client of orrery's gRPC services.

>>> from orrery_client import Client
>>> with Client("127.0.0.1:8417") as client:
...     gex = client.get_artifact("SPX", "gex")
...     strikes = gex.to_polars("by_strike")

Messages are those of ``orrery.v1``, generated from the protos: what each field
means stands there, and in their documentation.
"""

from . import records
from .aio import AsyncClient
from .client import Client
from .errors import (
    Damaged,
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    OrreryError,
    OutOfRange,
    TimedOut,
    Unavailable,
)
from .frames import nanos
from .records import Line
from .results import Artifact, Proof
from .rows import AsyncRows, Rows
from .sessions import AsyncSession, Session

__all__ = [
    "Artifact",
    "AsyncClient",
    "AsyncRows",
    "AsyncSession",
    "Client",
    "Damaged",
    "FailedPrecondition",
    "InvalidRequest",
    "Line",
    "NotFound",
    "OrreryError",
    "OutOfRange",
    "Proof",
    "Rows",
    "Session",
    "TimedOut",
    "Unavailable",
    "nanos",
    "records",
]
