"""What can go wrong, by kind; the reason is the server's ``google.rpc.ErrorInfo``."""

from __future__ import annotations

from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2


class OrreryError(Exception):
    """A call that was refused or could not be carried out.

    ``reason`` is for programs (``UNKNOWN_ARTIFACT``, ``INVALID_FIELD``, ...; empty
    where no orrery answered), ``message`` for people, ``field`` names what is wrong in
    a request.
    """

    def __init__(
        self, code: grpc.StatusCode, message: str, reason: str = "", field: str | None = None
    ) -> None:
        super().__init__(f"{message} ({reason or code.name})")
        self.code = code
        self.message = message
        self.reason = reason
        self.field = field


class NotFound(OrreryError):
    """There is no such symbol, family, version, epoch, day or replay."""


class InvalidRequest(OrreryError):
    """The request can never be answered; ``field`` says what is wrong with it."""


class OutOfRange(OrreryError):
    """A moment or version that the journal does not reach, or does not hold any more."""


class FailedPrecondition(OrreryError):
    """It cannot be answered as things stand, such as for an epoch that still warms."""


class Unavailable(OrreryError):
    """Nobody answers, or the server stops; the same call may go well later."""


class TimedOut(OrreryError):
    """No answer within the client's ``timeout``."""


class Damaged(OrreryError):
    """The server's data is damaged; ``orrery doctor`` says more."""


_KINDS: dict[grpc.StatusCode, type[OrreryError]] = {
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRange,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimedOut,
    grpc.StatusCode.DATA_LOSS: Damaged,
}


def of(error: Any) -> OrreryError:
    """The exception for an ``grpc.RpcError`` of either sort of call."""
    reason, field = "", None
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        for detail in status_pb2.Status.FromString(value).details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo()
                detail.Unpack(info)
                reason = info.reason
            elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                request = error_details_pb2.BadRequest()
                detail.Unpack(request)
                field = next((v.field for v in request.field_violations), None)
    code = error.code()
    return _KINDS.get(code, OrreryError)(code, error.details() or code.name, reason, field)
