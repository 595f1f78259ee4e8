"""Where the kit's files are, and what the environment says about this run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workshop.errors import SettingsError
from workshop.masked import Secret

CHECKOUT = Path(__file__).resolve().parents[2]
"""The kit's folder. Anchored here because papermill, nbval and JupyterLab differ in their cwd."""

DATA = CHECKOUT / "data"
"""Sample documents and runbooks."""

TARGETS = ("local", "cluster")


@dataclass(frozen=True)
class Settings:
    """What a run needs to know besides a notebook's parameters.

    Args:
        state: The folder of control files, secrets and reports of this checkout.
        notebooks: The sequence.
        model_token: For the user's own model endpoint; from ``MODEL_TOKEN``.
        model_ca_file: The CA of that endpoint; from ``MODEL_CA_FILE``.
        milvus_token: For the user's own Milvus; from ``MILVUS_TOKEN``.
    """

    state: Path = CHECKOUT / ".workshop"
    notebooks: Path = CHECKOUT / "notebooks"
    model_token: Secret | None = None
    model_ca_file: Path | None = None
    milvus_token: Secret | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Read ``WORKSHOP_HOME``, ``MODEL_TOKEN``, ``MODEL_CA_FILE`` and ``MILVUS_TOKEN``.

        Raises:
            SettingsError: With everything that cannot be used, at once.
        """
        problems = []
        home = Path(env.get("WORKSHOP_HOME") or cls.state).expanduser()
        if home.exists() and not home.is_dir():
            problems.append(f"WORKSHOP_HOME={home} is not a folder")
        # Absolute: the parts that read it run in folders of their own.
        named = env.get("MODEL_CA_FILE")
        ca = Path(named).expanduser().absolute() if named else None
        if ca is not None and not ca.is_file():
            problems.append(f"MODEL_CA_FILE={ca} is not a file")
        token = env.get("MODEL_TOKEN", "").strip()
        if not all(33 <= ord(letter) <= 126 for letter in token):
            # It would be refused as a header, and the refusal would quote it.
            problems.append("MODEL_TOKEN holds a space, a line break or a letter beyond ASCII")
        milvus = env.get("MILVUS_TOKEN", "").strip()
        if problems:
            raise SettingsError(
                "The environment cannot be used.",
                state="; ".join(problems),
                hint="correct or unset these variables",
            )
        return cls(
            state=home.absolute(),
            model_token=Secret(token) if token else None,
            model_ca_file=ca,
            milvus_token=Secret(milvus) if milvus else None,
        )
