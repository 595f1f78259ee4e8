"""A credential that does not show itself."""

import hmac
from collections.abc import Iterable
from urllib.parse import quote, quote_plus


class Secret:
    """Holds a password or token; only ``reveal()`` gives it out.

    Example:
        >>> Secret("hunter2")
        Secret(****)
        >>> f"token: {Secret('hunter2')}"
        'token: ****'
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not value:
            raise ValueError("a secret must not be empty")
        self._value = value

    def reveal(self) -> str:
        """The credential itself. Call it where it is sent, nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(****)"

    def __str__(self) -> str:
        return "****"

    def __format__(self, _spec: str) -> str:
        return "****"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(
            self._value.encode(), other._value.encode()
        )

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to be pickled: a pickle would carry the credential in clear."""
        raise TypeError("a Secret is not pickled")


def mask(text: str, secrets: Iterable[Secret]) -> str:
    """The text with every one of these secrets replaced by ``****``, also as part of a URL."""
    values = {secret.reveal() for secret in secrets}
    forms = {form for value in values for form in (value, quote(value, safe=""), quote_plus(value))}
    # The longest first: one that is part of another would leave the other's rest to be read.
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "****")
    return text
