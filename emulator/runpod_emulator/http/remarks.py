"""What there is to say of a request that is not an ordinary one. Most have no remarks, which costs one look."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope

REMARKS = "emulator.remarks"
"""Where the scope of a request has them: one object, for scopes are copied on the long way through all layers."""


@dataclass(slots=True)
class Remarks:
    """Each is "" where there is nothing to say."""

    fault: str = ""
    """The id of the fault that has changed the answer."""
    why: str = ""
    """Why it was refused, in words."""
    noted: bool = False
    """Whether the effects were told of it, or the log has it otherwise."""


def remarks_of(scope: Scope) -> Remarks:
    """The remarks of a request, to be added to."""
    remarks: Remarks | None = scope.get(REMARKS)
    if remarks is None:
        remarks = scope[REMARKS] = Remarks()
    return remarks
