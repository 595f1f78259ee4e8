"""What mends an image that cannot be pulled, by what the registry said."""

from __future__ import annotations

import re

HINTS = (
    (
        r"toomanyrequests|too many requests|rate limit",
        "the registry limits anonymous pulls: wait, or give the namespace a pull secret, or mirror "
        "the image and name the mirror in the manifest",
    ),
    (
        r"unauthorized|denied|authentication required|\b40[13]\b",
        "the registry wants a login: kubectl create secret docker-registry NAME, and name it in "
        "the ServiceAccount's imagePullSecrets",
    ),
    (
        r"no such host|connection refused|i/o timeout|network is unreachable|Temporary failure",
        "the cluster's nodes do not reach that registry: mirror the image, and name the mirror in "
        "the manifest",
    ),
)
"""A pattern of the registry's words, and the remedy. Docker Hub's is ``toomanyrequests``."""

UNKNOWN = (
    "is the name right, and may the cluster reach that registry? A registry that wants a login "
    "needs a pull secret; Docker Hub limits anonymous pulls"
)


def hint(said: str) -> str:
    """The remedy for what the node says of a pull that failed."""
    for pattern, remedy in HINTS:
        if re.search(pattern, said, re.IGNORECASE):
            return remedy
    return UNKNOWN
