"""What connectors need in one process: a way out."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from kit.connectors.outbound import Outbound


def _outbound(request: Request) -> Outbound:
    outbound = request.app.state.outbound
    assert isinstance(outbound, Outbound)
    return outbound


OutboundDep = Annotated[Outbound, Depends(_outbound)]
