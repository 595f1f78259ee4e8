"""The one place for versions that must fit together, and for the hashes of what is downloaded.

A version that also stands in a lock file (uv.lock, the environments' lock files, the MCP server's
package-lock.json) is compared with it by ``tests/unit/setup/test_pins.py``. Only the standard
library is imported here: set-up reads this before anything is installed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

PYTHON = "3.12"  # The oldest Python that works, and the one that the environments are locked for.
LLAMA_STACK = "0.7.3"
OGX = "1.5.0"
SERVERS = {"ogx": OGX, "llama-stack": LLAMA_STACK}
"""The servers that the agent may use, the preferred one first, with their versions."""

PYTHONS: Mapping[str, str] = {"ogx": PYTHON}
"""The oldest Python for a server's environment, where it is not ``PYTHON``. OGX 2.0 wants 3.13
(ogx #6973)."""


def has_tool_runtime(server: str) -> bool:
    """Whether a server's configuration has ``tool_runtime``: OGX 2.0 took it out (ogx #7039)."""
    return int(SERVERS[server].partition(".")[0]) < 2


XLLAMACPP = "2026.10.11549"
MCP_SERVER = "3.0.4"
CONNECTION_ID = "preconfigured"
"""The name that MCP server 3.x gives the connection it was started with: every data tool wants it
as its ``connectionId``."""

UV_MINIMUM = "0.9.0"
"""The oldest uv that reads the committed lock files and knows the options that set-up uses."""
NODE_MINIMUM = "22.13"  # What the MCP server's `engines` asks for.
MONGOD_MINIMUM = "6.0"
GO_MINIMUM = "1.24"  # The `go` line of FerretDB's go.mod.
PROMETHEUS_MINIMUM = "2.31"  # Debian's and Ubuntu's of 2022; nothing newer is asked for.
FERRETDB_MODULE = "github.com/FerretDB/FerretDB"
FERRETDB = "v1.24.2"
FERRETDB_SUM = "h1:trrUU0LbmusMbyubhPS1IELncvrIwKrsRT2LW1UUWCw="
"""What ``go mod download -json`` prints as ``Sum``, from the public checksum database."""

TOKENIZER_KEY = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
"""The file name that the tokenizer library looks for in its cache: the sha1 of the file's URL."""


@dataclass(frozen=True)
class Package:
    """One package of Debian's. ``path`` is below a mirror's address, ``size`` in bytes."""

    path: str
    sha256: str
    size: int

    @property
    def version(self) -> str:
        """The version, as the file's name has it."""
        return self.path.rsplit("/", 1)[-1].split("_")[1]


@dataclass(frozen=True)
class Weights:
    """A file of model weights of ``size`` bytes, named as in the cache and on the model hub."""

    filename: str
    size: int
    sha256: str
    variable: str  # The environment variable by which a user names a file that they have already.
    repository: str = ""  # The model hub's repository that has the file, if any.


@dataclass(frozen=True)
class Pins:
    """The files that set-up checks by itself; tests give their own, of a few bytes.

    What comes as Python packages is pinned by the lock files in ``setup/environments``. ``weights``
    has the component's name as its key.
    """

    weights: Mapping[str, Weights]
    tokenizer_sha256: str
    prometheus: Mapping[str, Package] = field(default_factory=dict)


PINS = Pins(
    weights={
        "chat-weights": Weights(
            filename="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            size=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            variable="WORKSHOP_CHAT_WEIGHTS",
            repository="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        ),
        "embedding-weights": Weights(
            filename="all-minilm-l6-v2-f16.gguf",
            size=46_220_256,
            sha256="fa2d9f28b2e742dbac904fd68be838ed74fffb224dbd850a3815bdfcaa06bb8b",
            variable="WORKSHOP_EMBEDDING_WEIGHTS",
        ),
    },
    tokenizer_sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    prometheus={
        "x86_64": Package(
            "pool/main/p/prometheus/prometheus_2.42.0+ds-5+deb12u1_amd64.deb",
            "81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55",
            19_257_088,
        ),
        "aarch64": Package(
            "pool/main/p/prometheus/prometheus_2.42.0+ds-5+deb12u1_arm64.deb",
            "ca131aa102390083398afbc80be9c8dd1dda78f9f92154fc00df8f7f1f4556e9",
            16_826_400,
        ),
    },
)
"""What the kit installs. The hashes are those that the model hub and Debian publish."""
