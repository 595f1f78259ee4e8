"""What the installation of one component is given, beside the context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workshop.core.versions import Wheel
from workshop.setup import fetch, index, run
from workshop.setup.context import Context, Stopped
from workshop.setup.progress import Board

UV_CACHE = "uv-cache"
CACHES = {
    "UV_CACHE_DIR": UV_CACHE,
    "npm_config_cache": "npm-cache",
    "GOMODCACHE": "go-modules",
    "GOCACHE": "go-build",
}
"""The variable and the folder for each program: WORKSHOP_CACHE alone moves them all."""


@dataclass(frozen=True)
class Job:
    """One component that is being installed. ``lock`` is held by every program it runs."""

    context: Context
    name: str
    board: Board
    lock: int

    def check(self) -> None:
        """Raise ``Stopped`` when the work shall end early."""
        if self.context.stop.is_set():
            raise Stopped

    def say(self, doing: str) -> None:
        """Show what is being done."""
        self.check()
        self.board.say(self.name, doing)

    def note(self, text: str) -> None:
        """Show something that happened, while the work goes on."""
        self.board.note(self.name, text)

    def measure(self, done: int, total: int) -> None:
        """Show how many bytes of it are done."""
        self.check()
        self.board.measure(self.name, done, total)

    def folder(self, *names: str) -> Path:
        """A folder in the cache, made when it is not there."""
        path = self.context.writable.joinpath(*names)
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def index(self) -> str:
        """The package index's address."""
        return index.address(self.context.env, self.context.checkout)

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path,
        what: str,
        env: dict[str, str] | None = None,
        hint: str = "check the network, then run set-up again",
    ) -> str:
        """Run a program to its end, its output in the component's log; gives the output.

        Raises:
            SetupError: It failed; with the end of its output.
            Stopped: ``context.stop`` was set.
        """
        return run.run(
            [str(word) for word in argv],
            env={**self.context.env, "PYTHONPATH": "", **self._caches(), **(env or {})},
            cwd=cwd,
            log=self.folder("logs") / f"{self.name}.log",
            stop=self.context.stop,
            what=what,
            hint=hint,
            keep=(self.lock,),
            live=lambda text: self.board.detail(self.name, text),
        )

    def _caches(self) -> dict[str, str]:
        """Where uv, npm and go keep what they download: in the home that may not be there, else."""
        env = self.context.env
        return {
            name: str(self.context.writable / folder)
            for name, folder in CACHES.items()
            if not env.get(name) and not env.get(name.upper())
        }

    def wheel(self, wheel: Wheel, folder: Path) -> Path:
        """Download one wheel, or take the one that is there whole already."""
        target = folder / wheel.filename
        if not target.exists():
            self.say(f"downloading {wheel.project} {wheel.version}")
            fetch.fetch(
                self.context,
                index.find(self.index, wheel),
                target,
                lambda done: self.measure(done, wheel.size),
                self.note,
            )
        return target
