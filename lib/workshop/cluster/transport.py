"""Requests to the API server, and what to make of an answer that did not come."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workshop.cluster import official, refusals
from workshop.cluster.refusals import Refused, Unreachable
from workshop.errors import SettingsError, WorkshopError
from workshop.wait import NotYet, wait_for

Object = dict[str, Any]

CONNECT, ANSWER = 5.0, 30.0
"""Seconds for a connection, and for an answer."""

SILENCE = 330.0
"""Seconds without a line after which a watch or a followed log counts as broken: longer than the
API server lets a watch live."""

PATIENCE = 60.0
"""Seconds for which an API server may be away in the middle of a step: it is updated now and then,
and behind it etcd elects a new leader."""

_AGAIN = (429, 500, 502, 503, 504)
"""Answers of an API server that is busy, that starts (it has no addresses for Services then, and
says 500), or that cannot reach etcd."""

logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


class Transport:
    """The official client's ``ApiClient``, which brings logins, TLS and proxies.

    Args:
        client: The ``ApiClient``.
        namespace: Where namespaced objects without one of their own are.

    Attributes:
        requests: How many were sent.
    """

    def __init__(self, client: Any, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.requests = 0

    @property
    def url(self) -> str:
        """The API server."""
        return str(self.client.configuration.host)

    @property
    def where(self) -> str:
        """For errors: the API server and namespace."""
        return f"{self.url}, namespace {self.namespace}"

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Sequence[tuple[str, str]] = (),
        content: str = "application/json",
        accept: str = "application/json",
        what: str,
        patient: bool = True,
        user: str = "",
    ) -> Object:
        """One request, repeated while the API server is away: all that is asked here may be.

        Args:
            method: The HTTP verb.
            path: Below the API server's URL.
            body: Sent as JSON.
            query: Names and values.
            content: The type of the body.
            accept: The type of the answer.
            what: What it is for, such as ``apply Deployment mongodb``; for errors.
            patient: Whether it is repeated.
            user: Ask as this user would; "" asks as oneself.

        Raises:
            Refused: The API server refused, with what that means.
            Unreachable: It did not answer for ``PATIENCE`` seconds.
        """

        def once() -> Object:
            limits = (CONNECT, ANSWER)
            answer = self._send(method, path, body, query, content, accept, what, limits, user)
            found: Object = json.loads(answer.data or b"{}")
            return found

        def again() -> Object | NotYet:
            try:
                return once()
            except Unreachable as error:
                return NotYet(error.state)
            except Refused as error:
                if not _passes(error):
                    raise
                return NotYet(error.state)

        if not patient:
            return once()
        return wait_for(
            f"the API server to {what}",
            again,
            timeout=PATIENCE,
            every=0.5,
            where=self.where,
            hint="is the cluster up, and the network? kubectl get --raw /readyz",
        )

    def _lines(self, path: str, query: Sequence[tuple[str, str]], what: str) -> Iterator[str]:
        import urllib3

        answer = self._send("GET", path, None, query, "", "*/*", what, (CONNECT, SILENCE))
        rest = b""
        try:
            for chunk in answer.stream(amt=None, decode_content=False):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (line.decode("utf-8", "replace") for line in whole)
            if rest:
                yield rest.decode("utf-8", "replace")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._away(error) from error
        finally:
            answer.close()

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Sequence[tuple[str, str]],
        content: str,
        accept: str,
        what: str,
        timeout: tuple[float, float | None],
        user: str = "",
    ) -> Any:
        import urllib3

        client = official.pieces()
        self.requests += 1
        headers = {"Accept": accept}
        if body:
            headers["Content-Type"] = content
        if user:
            headers["Impersonate-User"] = user
        try:
            answer = self.client.call_api(
                path,
                method,
                query_params=list(query),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=timeout,
            )
            if timeout[1] == ANSWER:
                answer.read(cache_content=True)
        except client.ApiException as error:
            if not error.status:
                raise self._away(error) from error
            raw = error.body or str(error.reason)
            text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
            raise refusals.refused(
                error.status, text, what=what, where=self.where, sent=body
            ) from error
        except client.config.ConfigException as error:
            raise SettingsError(
                "The login for the cluster cannot be used.",
                where=self.url,
                state=str(error),
                hint="log in again: oc login, or a new kubeconfig",
            ) from error
        except AttributeError as error:
            # Where TLS fails, the client 36 trips over its own error: that has no body to decode.
            if not isinstance(error.__context__, client.ApiException):
                raise
            raise self._away(error.__context__) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._away(error) from error
        return answer

    def _away(self, error: BaseException) -> WorkshopError:
        text, proxy = " ".join(str(error).split()), self.client.configuration.proxy
        _, untrusted, reason = text.partition("certificate verify failed: ")
        if untrusted:
            # It will not pass: no use in asking again.
            return SettingsError(
                "The API server's certificate was not verified.",
                where=self.url,
                state=reason.partition(" (_ssl")[0],
                hint="name the CA that signed it in the kubeconfig's certificate-authority, and in "
                "tls-server-name the host that it is for, if the server's address is another",
            )
        return Unreachable(
            "The API server does not answer.",
            where=self.url + (f", through the proxy {proxy}" if proxy else ""),
            state=f"{type(error).__name__}: {text[:200]}",
            hint="is the cluster up, and the network? kubectl get --raw /readyz",
        )


def _passes(error: Refused) -> bool:
    """Whether the API server may answer otherwise in a moment."""
    lasting = ("quota", refusals.NOT_TYPED)
    return error.code in _AGAIN and not any(text in error.state for text in lasting)
