"""Where the kit's files are, and what the environment says about this run."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workshop.core.errors import SettingsError
from workshop.core.secret import Secret

CHECKOUT = Path(__file__).resolve().parents[3]
"""The kit's folder. Anchored here because papermill, nbval and JupyterLab differ in their cwd."""

DATA = CHECKOUT / "data"  # Sample documents and runbooks.
TARGETS = ("local", "cluster")
NOTEBOOK = "JPY_SESSION_NAME"
"""The variable in which a Jupyter server says to a kernel which notebook it runs."""

AUTO = "auto"

PATHS = (
    *("WORKSHOP_HOME", "WORKSHOP_CHAT_WEIGHTS", "WORKSHOP_EMBEDDING_WEIGHTS", "MODEL_CA_FILE"),
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "TMPDIR"),
)
"""Variables that name one path. ``WORKSHOP_CACHE`` is not among them: set-up takes it absolute."""
PATH_LISTS = ("KUBECONFIG", "SSL_CERT_DIR")
"""Variables that name one path or several, with a colon between them."""


def make_paths_absolute(base: Path, env: MutableMapping[str, str] = os.environ) -> None:
    """Give every variable that names a path one meaning, for all that this process starts.

    Parts, kernels and helpers run in folders of their own, where a relative path would mean
    another file: here it is taken from ``base``. ``env`` is changed.
    """
    for name in (*PATHS, *PATH_LISTS):
        if env.get(name):
            paths = env[name].split(os.pathsep) if name in PATH_LISTS else [env[name]]
            env[name] = os.pathsep.join(_absolute(base, path) if path else "" for path in paths)


def _absolute(base: Path, path: str) -> str:
    # Not Path.expanduser, which raises when it does not know the user.
    return str((base / os.path.expanduser(path)).absolute())  # noqa: PTH111


def refuse_another_checkout() -> None:
    """Refuse to work in, or be started from, a checkout that this library does not belong to.

    A ``.venv`` that was copied with its checkout leads to the library, and so to the parts and the
    data, of the checkout where it was made: a ``SettingsError`` says so.
    """
    with suppress(FileNotFoundError):  # the working folder may have been deleted
        for start in (Path.cwd(), Path(sys.argv[0]).absolute()):
            above = (start, *start.parents)
            here = next((p for p in above if (p / "lib/workshop/__init__.py").is_file()), CHECKOUT)
            if not here.samefile(CHECKOUT):
                raise SettingsError(
                    "The library of another checkout is used here.",
                    where=str(here),
                    state=f"it belongs to {CHECKOUT}, as a .venv that was copied from there does",
                    hint=f"cd {here} && ./bootstrap; then use .venv/bin/workshop of that folder",
                )


def default_target(env: Mapping[str, str] = os.environ) -> str:
    """Where parts run unless it is said: ``WORKSHOP_TARGET``, a workbench's cluster, or here.

    Kubeflow's notebook controller, which is OpenShift AI's too, sets ``NB_PREFIX`` in a workbench.
    """
    return env.get("WORKSHOP_TARGET") or ("cluster" if env.get("NB_PREFIX") else "local")


@dataclass(frozen=True)
class Settings:
    """What a run needs to know besides a notebook's parameters.

    ``state`` is the folder of control files, secrets and reports of this checkout; ``model_...`` is
    of the user's own model endpoint, ``milvus_token`` of their own Milvus.
    """

    state: Path = CHECKOUT / ".workshop"
    notebooks: Path = CHECKOUT / "notebooks"
    model_token: Secret | None = None
    model_ca_file: Path | None = None
    milvus_token: Secret | None = None

    @property
    def lock(self) -> Path:
        """The lock of whoever runs notebooks, stops parts or evaluates in this checkout."""
        return self.state / "local" / "lock"

    @property
    def secrets(self) -> list[Secret]:
        """The user's own credentials, which no report and no line may show."""
        return [one for one in (self.model_token, self.milvus_token) if one]

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Read ``WORKSHOP_HOME``, ``MODEL_TOKEN``, ``MODEL_CA_FILE`` and ``MILVUS_TOKEN``.

        Raises:
            SettingsError: With everything that cannot be used, at once.
        """
        env = dict(env)
        make_paths_absolute(Path(), env)
        home = Path(env.get("WORKSHOP_HOME") or cls.state)
        ca = Path(env["MODEL_CA_FILE"]) if env.get("MODEL_CA_FILE") else None
        token = env.get("MODEL_TOKEN", "").strip()
        milvus = env.get("MILVUS_TOKEN", "").strip()
        problems = []
        if home.exists() and not home.is_dir():
            problems.append(f"WORKSHOP_HOME={home} is not a folder")
        if ca is not None and not ca.is_file():
            problems.append(f"MODEL_CA_FILE={ca} is not a file")
        if not all(33 <= ord(letter) <= 126 for letter in token):
            # It would be refused as a header, and the refusal would quote it.
            problems.append("MODEL_TOKEN contains a space, a line break or a letter beyond ASCII")
        if problems:
            raise SettingsError(
                "The environment cannot be used.",
                state="; ".join(problems),
                hint="correct or unset these variables",
            )
        return cls(
            state=home,
            model_token=Secret(token) if token else None,
            model_ca_file=ca,
            milvus_token=Secret(milvus) if milvus else None,
        )
