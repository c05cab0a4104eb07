"""Child processes: started, watched, restarted, and never left behind.

A child that dies is started again, with a growing pause while it keeps dying. On Linux the kernel ends children whose
supervisor was killed; everywhere `Supervisor` ends them on the way out, last started first.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PR_SET_PDEATHSIG = 1
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
HEALTHY_SECONDS = 5.0
"""A child that ran this long died of something new: the pause starts small again."""

GRACE_SECONDS = 15.0
"""How long a child may take to finish after SIGTERM before it is killed."""

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


ENDING = (signal.SIGTERM, signal.SIGINT)
"""The signals by which a child is asked to finish."""


def hear_the_end() -> None:
    """Let this process hear what asks it to finish, now that it can: what came since its start comes now.

    `petrosa_cio.__main__` has it wait, where a process must finish something however early it is asked.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


@dataclass(slots=True)
class Child:
    """One child: its name, command, and how often it has been started."""

    name: str
    command: tuple[str, ...]
    starts: int = 0
    process: asyncio.subprocess.Process | None = None
    retiring: bool = False
    keeper: asyncio.Task[None] | None = None

    @property
    def restarts(self) -> int:
        """Starts after the first."""
        return max(self.starts - 1, 0)


@dataclass(slots=True)
class Supervisor:
    """Keeps children running. ``directory`` gets ``run/NAME.pid`` and ``logs/NAME.log``."""

    directory: Path
    log: Callable[[str, dict[str, object]], None]
    children: list[Child] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        for name in ("run", "logs"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        for child in reversed(list(self.children)):
            await self.retire(child)

    async def start(self, name: str, command: tuple[str, ...]) -> Child:
        """Start a child and keep it running."""
        child = Child(name, command)
        self.children.append(child)
        await self._spawn(child)
        child.keeper = asyncio.create_task(self._keep(child))
        return child

    async def retire(self, child: Child) -> None:
        """Ask a child to finish, wait, and kill it if it does not."""
        child.retiring = True
        if child.keeper is not None:
            child.keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await child.keeper
            child.keeper = None
        if child.process is not None and child.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.process.terminate()
            try:
                await asyncio.wait_for(child.process.wait(), GRACE_SECONDS)
            except TimeoutError:
                self.log("child did not finish and was killed", {"child": child.name})
                with contextlib.suppress(ProcessLookupError):
                    child.process.kill()
                await child.process.wait()
        self._pid_file(child).unlink(missing_ok=True)
        if child in self.children:
            self.children.remove(child)

    def _pid_file(self, child: Child) -> Path:
        return self.directory / "run" / f"{child.name}.pid"

    async def _spawn(self, child: Child) -> None:
        for name in ("run", "logs"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        # A file, not a pipe: a pipe that nobody reads blocks the child, and one inherited further hangs its readers.
        with (self.directory / "logs" / f"{child.name}.log").open("ab") as output:
            child.process = await asyncio.create_subprocess_exec(
                *child.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=_die_with_parent,
                start_new_session=True,
            )
        child.starts += 1
        part = self._pid_file(child).with_suffix(".part")
        try:
            part.write_text(str(child.process.pid), encoding="ascii")
            part.replace(self._pid_file(child))
        except OSError as error:  # it runs all the same: to start another would be worse than a file too few
            self.log("a pid file could not be written", {"child": child.name, "why": str(error)})

    async def _keep(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        while child.process is not None:
            started = loop.time()
            code = await child.process.wait()
            if child.retiring:
                return
            if loop.time() - started > HEALTHY_SECONDS:
                pause = FIRST_PAUSE
            self.log("child ended; starting it again", {"child": child.name, "exit": code, "restarts": child.starts})
            while True:
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                try:
                    await self._spawn(child)
                except OSError as error:  # no log directory, no room, no process: none of it is for ever
                    self.log(
                        "ALARM: child could not be started; trying again", {"child": child.name, "why": str(error)}
                    )
                else:
                    break
