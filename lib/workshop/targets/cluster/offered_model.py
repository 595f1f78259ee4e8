"""The shared model of a prepared namespace, as a notebook finds it.

It lies in a Secret of its own, which the notebooks read and never write: what an attendee chooses
instead is kept elsewhere, and cleaning up takes nothing of the room away.
"""

from __future__ import annotations

import base64

from workshop.core.secret import Secret
from workshop.targets.base import Endpoint, Offer
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.endpoints import Reach

NAME = "agent-workshop-room"
"""The name of all that is put into a namespace, and the value of its manager label."""


def read(api: Api, reach: Reach) -> Offer | None:
    """The offer in this namespace, or None.

    Raises:
        Refused: This user may not read the namespace's Secrets.
    """
    kept = (api.get("v1", "Secret", NAME) or {}).get("data") or {}
    content = {key: base64.b64decode(value).decode() for key, value in kept.items()}
    if not content.get("url"):
        return None
    token, ca = content.get("token"), content.get("ca")
    endpoint = Endpoint(
        content["url"],
        token=Secret(token) if token else None,
        ca_file=reach.ca_file(NAME, ca) if ca else None,
    )
    return Offer(endpoint, content.get("name", ""))
