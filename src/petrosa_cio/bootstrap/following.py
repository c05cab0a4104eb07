"""A gate follows the policy in force: pushed by the board, and asked for every second in case a push was lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.core.nats.together import first_failure
from petrosa_cio.errors import BusError, PolicyError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from petrosa_cio.apps.nurse.policy import Policy
    from petrosa_cio.apps.nurse.ports import PolicyBoard, PublishedPolicy
    from petrosa_cio.core.nats.interceptor import Gate

ASK_SECONDS = 1.0
"""How often the board is asked what stands: a lost push is found this much later at most."""


async def follow_policy(board: PolicyBoard, gate: Gate, log: Callable[[str, dict[str, object]], None]) -> None:
    """Offer ``gate`` every policy that is put up, and confirm the one in force while the board stands; for ever."""
    follower = _Follower(gate, log)
    await first_failure(_watch(board, follower), _ask(board, follower))


class _Follower:
    """Reads what was put up and hands it on. What is no policy is alarmed on once, and what is in force goes on."""

    def __init__(self, gate: Gate, log: Callable[[str, dict[str, object]], None]) -> None:
        self._gate = gate
        self.log = log
        self.book = gate.terms.book
        self._refused = 0

    def take(self, published: PublishedPolicy) -> bool:
        """Offer what was put up; False where it cannot be used."""
        known = self._gate.terms.policy_version
        if known is not None and published.version <= known:
            if published.version < known and self._refused != published.version:
                facts: dict[str, object] = {"stands": published.version, "in_force": known}
                self.log("ALARM: the board went back to an older policy; it is not followed", facts)
                self._refused = published.version
            return published.version == known
        try:
            policy = _read(published)
        except PolicyError as error:
            if self._refused != published.version:
                self.log("ALARM: the policy that was put up cannot be used", {"why": str(error)})
            self._refused = published.version
            return False
        self._gate.offer(policy, published.version)
        return True

    def confirm(self, published: PublishedPolicy) -> None:
        """The board says that ``published`` stands now."""
        if self.take(published):
            self._gate.confirm_policy(published.version)


def _read(published: PublishedPolicy) -> Policy:
    source = f"version {published.version}"
    policy = read_policy(dict(published.content), source)
    if policy.revision != published.revision:
        msg = f"its revision is {policy.revision[:12]}, not {published.revision[:12]} as it says"
        raise PolicyError((msg,), source)
    return policy


async def _watch(board: PolicyBoard, follower: _Follower) -> None:
    while True:
        try:
            await board.watch(follower.book, lambda published: follower.confirm(published))
        except (BusError, StoreError) as error:
            follower.log("the policy watch broke off", {"why": str(error)})
            await asyncio.sleep(ASK_SECONDS / 2)


async def _ask(board: PolicyBoard, follower: _Follower) -> None:
    failing = False
    while True:
        try:
            published = await board.current(follower.book)
        except (BusError, StoreError) as error:
            if not failing:
                follower.log("the policy in force cannot be asked for; the last known one goes on", {"why": str(error)})
            failing = True
        else:
            failing = False
            if published is not None:
                follower.confirm(published)
        await asyncio.sleep(ASK_SECONDS)
