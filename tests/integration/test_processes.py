"""Supervision goes on whatever the disk does."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING

from harness import until

from petrosa_cio.core.processes import Supervisor

if TYPE_CHECKING:
    from pathlib import Path

SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")


async def test_a_child_is_started_again_though_its_log_cannot_be_written(tmp_path: Path) -> None:
    """A child that dies while no log can be opened is alarmed on, and started once one can."""
    events: list[str] = []
    async with Supervisor(tmp_path, lambda event, _: events.append(event)) as supervisor:
        child = await supervisor.start("sleeper", SLEEPER)
        assert child.process is not None
        shutil.rmtree(tmp_path / "logs")
        (tmp_path / "logs").write_text("a file where the directory was")
        os.kill(child.process.pid, signal.SIGKILL)
        await until(lambda: any("could not be started" in event for event in events), "it is alarmed on")
        (tmp_path / "logs").unlink()
        await until(lambda: child.starts == 2, "it is started again")
        assert child.process.returncode is None
    assert child.process.returncode is not None


async def test_children_end_with_the_supervisor_also_while_one_cannot_be_started(tmp_path: Path) -> None:
    """Whatever state a child is in, the others are asked to finish and do."""
    async with Supervisor(tmp_path, lambda *_: None) as supervisor:
        one = await supervisor.start("one", SLEEPER)
        two = await supervisor.start("two", SLEEPER)
        assert one.process is not None
        assert two.process is not None
        shutil.rmtree(tmp_path / "logs")
        (tmp_path / "logs").write_text("in the way")
        os.kill(two.process.pid, signal.SIGKILL)
        await until(lambda: two.process is not None and two.process.returncode is not None, "it is dead")
        await asyncio.sleep(0)
    assert one.process.returncode is not None
