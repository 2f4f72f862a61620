"""How routes reach the process's services."""

from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from yeoul.core.runtime.services import Services


def _services(connection: HTTPConnection) -> Services:
    return cast("Services", connection.app.state.services)


CurrentServices = Annotated[Services, Depends(_services)]
