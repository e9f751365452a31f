"""A typed client of orrery's gRPC services.

>>> from orrery_client import Client
>>> with Client("127.0.0.1:8417") as client:
...     gex = client.get_artifact("SPX", "gex")
...     strikes = gex.to_polars("by_strike")

Messages are those of ``orrery.v1``, generated from the protos: what each field
means stands there, and in their documentation.
"""

from .aio import AsyncClient, AsyncRows
from .client import Client, Rows
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
from .results import Artifact

__all__ = [
    "Artifact",
    "AsyncClient",
    "AsyncRows",
    "Client",
    "Damaged",
    "FailedPrecondition",
    "InvalidRequest",
    "NotFound",
    "OrreryError",
    "OutOfRange",
    "Rows",
    "TimedOut",
    "Unavailable",
    "nanos",
]
