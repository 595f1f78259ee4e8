"""Getting into the database: connections, and the user's password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from workshop.errors import EndpointError
from workshop.masked import Secret
from workshop.target import Endpoint

DATABASE = "mcp_demo"


@contextmanager
def connected(endpoint: Endpoint, *, authorize: bool = True) -> Iterator[Any]:
    """The kit's database, as pymongo reads it.

    Raises:
        EndpointError: The database does not answer, or refuses.
    """
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    login: dict[str, Any] = {}
    if authorize and endpoint.password:
        login = {
            "username": endpoint.user,
            "password": endpoint.password.reveal(),
            "authSource": "admin",
        }
    client: Any = MongoClient(
        endpoint.url, directConnection=True, serverSelectionTimeoutMS=3000, **login
    )
    try:
        yield client[DATABASE]
    except PyMongoError as error:
        raise _explained(endpoint, error) from error
    finally:
        client.close()


def change_password(endpoint: Endpoint, old: Secret, new: Secret) -> None:
    """Give the database's user a new password; nothing, if the new one is good already.

    Raises:
        EndpointError: The database does not answer, or knows neither.
    """
    with suppress(EndpointError), connected(replace(endpoint, password=new)) as database:
        database.list_collection_names()
        return
    with connected(replace(endpoint, password=old)) as database:
        database.client.admin.command("updateUser", endpoint.user, pwd=new.reveal())


def make_first_user(endpoint: Endpoint) -> bool:
    """Use mongod's localhost exception: on a database without users, one may be made."""
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    if endpoint.password is None:
        return False
    client: Any = MongoClient(endpoint.url, directConnection=True, serverSelectionTimeoutMS=3000)
    try:
        client.admin.command(
            "createUser", endpoint.user, pwd=endpoint.password.reveal(), roles=["root"]
        )
    except PyMongoError:
        return False
    finally:
        client.close()
    return True


def _explained(endpoint: Endpoint, error: Exception) -> EndpointError:
    from pymongo.errors import OperationFailure, ServerSelectionTimeoutError

    # pymongo goes on with its settings and what it knows of every server.
    text = " ".join(str(error).split()).partition(" (configured timeouts")[0][:300]
    if isinstance(error, OperationFailure) and error.code in (13, 18):
        return EndpointError(
            "The database refused the user or password.",
            where=endpoint.url,
            state=text,
            hint="run 08_secure_the_network again if it was interrupted; else its data was made "
            "with another password: workshop stop mongodb, move its data folder away, and run "
            "04_deploy_mongodb again",
        ).of_kind("unauthorized")
    away = isinstance(error, ServerSelectionTimeoutError)
    return EndpointError(
        "The database does not answer." if away else "The database failed.",
        where=endpoint.url,
        state=text,
        hint="run 04_deploy_mongodb again: it starts what has ended",
    ).of_kind("refused" if away else "server error")
