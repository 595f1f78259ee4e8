"""What one notebook leaves for the next: credentials, facts, and how to reach each part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from workshop.core import files, proxies
from workshop.core.errors import StepMissing
from workshop.core.lock import turn
from workshop.core.secret import Secret
from workshop.targets.base import Endpoint, Offer
from workshop.targets.local import place

_SECRETS_HINT = (
    "workshop stop, then move this file away: notebooks 02 to 05 make their credentials again"
)
_FACTS_HINT = "move this file away, and run the notebooks again from 02 on: what runs is reused"


class Store:
    """The state of one checkout, in its ``.workshop`` folder.

    Two processes may use it at once: each change is made under a lock, and each file is replaced
    in one step.

    Args:
        root: The ``.workshop`` folder; made at the first change.

    Example:
        >>> Store(Path("/nowhere")).recall("vector store") is None
        True
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.local = root / "local"
        self.secrets_path = self.local / "secrets.json"
        self.facts_path = self.local / "facts.json"
        self._turn_path = self.local / "state.lock"

    def folder(self, part: str) -> Path:
        """The control folder of a part's process."""
        return self.local / part

    def secret(self, name: str, make: Callable[[], str]) -> Secret:
        """The credential of this name; ``make`` is called when there is none yet.

        Two processes that ask at the same time get the same one.

        Raises:
            WorkshopError: The file is damaged or cannot be written.
        """
        with turn(self._turn_path):
            known = self._read_secrets()
            if name in known:
                return Secret(known[name])
            made = Secret(make())
            self._write(self.secrets_path, known | {name: made.reveal()})
            return made

    def renew(self, _part: str, credential: str, make: Callable[[], str]) -> Secret:
        """Put a new credential in this one's place; gives the old one, kept until ``retire``.

        Raises:
            StepMissing: There is none of this name.
        """
        old = _before(credential)
        with turn(self._turn_path):
            known = self._read_secrets()
            if credential not in known:
                raise StepMissing(f"There is no {credential} yet.", hint="run 02 to 05 first")
            if old not in known:
                known |= {old: known[credential], credential: make()}
                self._write(self.secrets_path, known)
            return Secret(known[old])

    def retire(self, credential: str) -> None:
        """Forget the old one."""
        with turn(self._turn_path):
            known = self._read_secrets()
            if known.pop(_before(credential), None) is not None:
                self._write(self.secrets_path, known)

    def set_secret(self, name: str, secret: Secret) -> None:
        """Keep a credential that was made elsewhere, such as a user's own token."""
        with turn(self._turn_path):
            self._write(self.secrets_path, self._read_secrets() | {name: secret.reveal()})

    def secrets(self) -> list[Secret]:
        """All credentials that are kept, or that the environment's proxies are given: to mask."""
        return [*map(Secret, self._read_secrets().values()), *proxies.secrets()]

    def remember(self, name: str, value: str | None) -> None:
        """Keep a plain fact; None forgets it."""
        with turn(self._turn_path):
            facts, endpoints = self._read_facts()
            facts.pop(name, None)
            if value is not None:
                facts[name] = value
            self._write_facts(facts, endpoints)

    def recall(self, name: str) -> str | None:
        """A fact that was kept, or None."""
        return self._read_facts()[0].get(name)

    def offered(self, _part: str) -> Offer | None:
        """Nothing: nobody prepares this machine for others."""
        return None

    def save_endpoint(self, name: str, endpoint: Endpoint) -> None:
        """Keep how to reach a part; its credentials go where credentials are."""
        credentials: list[str] = []
        record = {
            "url": endpoint.url,
            "user": endpoint.user,
            "ca_file": str(endpoint.ca_file) if endpoint.ca_file else None,
            "also": dict(endpoint.also),
            "credentials": credentials,
            "adopted": endpoint.adopted,
        }
        with turn(self._turn_path):
            known = _without_credentials(self._read_secrets(), name)
            for kind, secret in (("token", endpoint.token), ("password", endpoint.password)):
                if secret is not None:
                    known[_credential(name, kind)] = secret.reveal()
                    credentials.append(kind)
            facts, endpoints = self._read_facts()
            # The credentials first: an endpoint without its token would look like an open one.
            self._write(self.secrets_path, known)
            self._write_facts(facts, endpoints | {name: record})

    def endpoint(self, name: str) -> Endpoint | None:
        """How to reach a part, or None when that was not kept.

        Raises:
            WorkshopError: A file is damaged, or the endpoint's credential is gone.
        """
        record = self._read_facts()[1].get(name)
        if record is None:
            return None
        secrets = self._read_secrets()
        try:
            credentials = {
                kind: Secret(secrets[_credential(name, kind)]) for kind in record["credentials"]
            }
            return Endpoint(
                url=record["url"],
                token=credentials.get("token"),
                user=record["user"],
                password=credentials.get("password"),
                ca_file=Path(record["ca_file"]) if record["ca_file"] else None,
                also=record["also"],
                adopted=record.get("adopted", False),
            )
        except (KeyError, TypeError) as error:
            raise files.damaged(
                self.facts_path, f"the endpoint of {name} lacks {error}", hint=_FACTS_HINT
            ) from None

    def forget(self, name: str) -> None:
        """Forget how to reach a part, and the credentials that were kept with that."""
        with turn(self._turn_path):
            facts, endpoints = self._read_facts()
            if endpoints.pop(name, None) is not None:
                self._write_facts(facts, endpoints)
                self._write(self.secrets_path, _without_credentials(self._read_secrets(), name))

    def _read_secrets(self) -> dict[str, str]:
        content = files.read_json(self.secrets_path, hint=_SECRETS_HINT) or {}
        if not all(isinstance(value, str) and value for value in content.values()):
            raise files.damaged(
                self.secrets_path, "a value is not a text or is empty", hint=_SECRETS_HINT
            )
        return content

    def _read_facts(self) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
        content = files.read_json(self.facts_path, hint=_FACTS_HINT) or {}
        facts, endpoints = content.get("facts", {}), content.get("endpoints", {})
        if not isinstance(facts, dict) or not isinstance(endpoints, dict):
            raise files.damaged(self.facts_path, "not as written", hint=_FACTS_HINT)
        return facts, endpoints

    def _write_facts(self, facts: dict[str, str], endpoints: dict[str, dict[str, Any]]) -> None:
        self._write(self.facts_path, {"facts": facts, "endpoints": endpoints})

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        place.settle(self.local)
        files.write_json(path, content)


def _before(name: str) -> str:
    return f"{name} before"


def _credential(part: str, kind: str) -> str:
    return f"{part}/{kind}"


def _without_credentials(known: dict[str, str], part: str) -> dict[str, str]:
    mine = (_credential(part, "token"), _credential(part, "password"))
    return {name: value for name, value in known.items() if name not in mine}
