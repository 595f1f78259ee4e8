"""The four pieces of the official client that the kit uses, without the rest of it.

``import kubernetes`` loads a class for each of some 800 kinds, and a method for each request: more
than a second, before every command. Logins, TLS, proxies and one generic request need none of them.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

NAME = "kubernetes"


@functools.cache
def pieces() -> SimpleNamespace:
    """``ApiClient``, ``Configuration``, ``ApiException``, and the module ``config``.

    Where the client is laid out otherwise than in version 36, the whole of it is loaded.
    """
    if NAME not in sys.modules:
        try:
            with _without_models():
                return _gathered(sys.modules[f"{NAME}.client"])
        except (ImportError, AttributeError):
            pass
    client = importlib.import_module(f"{NAME}.client")
    return _gathered(client)


def _gathered(client: ModuleType) -> SimpleNamespace:
    exceptions = importlib.import_module(f"{NAME}.client.exceptions")
    configuration = importlib.import_module(f"{NAME}.client.configuration").Configuration
    api_client = importlib.import_module(f"{NAME}.client.api_client").ApiClient
    # Its configuration module imports them from here.
    vars(client).setdefault("Configuration", configuration)
    vars(client).setdefault("ApiClient", api_client)
    config = importlib.import_module(f"{NAME}.config")
    return SimpleNamespace(
        ApiClient=api_client,
        Configuration=configuration,
        ApiException=exceptions.ApiException,
        config=config,
    )


@contextmanager
def _without_models() -> Iterator[None]:
    """Packages that load none of their modules by themselves, and no model at all.

    They are taken away afterwards: who imports the client later gets the whole of it.
    """
    spec = importlib.util.find_spec(NAME)
    if spec is None or spec.origin is None:
        raise ImportError(NAME)
    root = Path(spec.origin).parent
    try:
        for name in (NAME, f"{NAME}.client", f"{NAME}.client.models"):
            package = ModuleType(name)
            package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
            sys.modules[name] = package
            parent, _, own = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], own, package)
        yield
    finally:
        for name in [one for one in sys.modules if one.partition(".")[0] == NAME]:
            del sys.modules[name]
