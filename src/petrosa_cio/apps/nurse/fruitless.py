"""Promotions that came to nothing: in a row without a fill, or in a row whose trades lost, for each strategy.

What a throttle of repeated automated execution counts (RTS 6, article 15(3)). Folded in ledger order, like the book.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from petrosa_cio.apps.nurse.happenings import ExecutionKind
from petrosa_cio.apps.nurse.models import SECOND, iso, parse_instant

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.happenings import Execution
    from petrosa_cio.apps.nurse.models import Instant, Json

QUIET: int = 7 * 86_400 * SECOND
"""A strategy of which nothing was heard for this long begins afresh: memory is bounded by a week's strategies."""

_FILLS = frozenset({ExecutionKind.FILLED, ExecutionKind.PARTIAL_FILL, ExecutionKind.FORCE_CLOSED})


class Run(NamedTuple):
    """What one strategy has done in a row. ``order_id`` is of the last close that counted: its fills are one trade."""

    unfilled: int = 0
    lost: int = 0
    at: Instant = 0
    order_id: str = ""


NO_RUN = Run()


@dataclass(slots=True)
class Fruitless:
    """The runs of every strategy, longest untouched first."""

    _runs: OrderedDict[str, Run] = field(default_factory=OrderedDict)

    def of(self, strategy_id: str) -> Run:
        """The strategy's run; of one that is not known, an empty one."""
        return self._runs.get(strategy_id, NO_RUN)

    def promoted(self, strategy_id: str, at: Instant) -> None:
        """An entry of the strategy was promoted."""
        run = self.of(strategy_id)
        self._keep(strategy_id, run._replace(unfilled=run.unfilled + 1, at=at))

    def executed(self, execution: Execution) -> None:
        """Something was heard of an order: a fill that opens ends the unfilled ones, a profit ends the losses.

        The fills of one closing order are one trade: it lost if its first fill did.
        """
        if execution.kind not in _FILLS or not execution.strategy_id:
            return
        run = self.of(execution.strategy_id)._replace(at=execution.at)
        if not execution.closes:
            run = run._replace(unfilled=0)
        elif execution.pnl is None or (execution.order_id and execution.order_id == run.order_id):
            return
        elif execution.pnl < 0:
            run = run._replace(lost=run.lost + 1, order_id=execution.order_id)
        elif execution.pnl > 0:
            run = run._replace(lost=0, order_id=execution.order_id)
        self._keep(execution.strategy_id, run)

    def forgive(self, strategy_id: str) -> None:
        """A person has enabled the strategy again: it begins afresh."""
        self._runs.pop(strategy_id, None)

    def _keep(self, strategy_id: str, run: Run) -> None:
        self._runs[strategy_id] = run
        self._runs.move_to_end(strategy_id)
        while run.at - next(iter(self._runs.values())).at > QUIET:
            self._runs.popitem(last=False)

    def content(self) -> list[dict[str, object]]:
        """As written in a record, in order."""
        return [
            {
                "strategy_id": name,
                "unfilled": run.unfilled,
                "lost": run.lost,
                "at": iso(run.at),
                "order_id": run.order_id,
            }
            for name, run in self._runs.items()
        ]

    @classmethod
    def read(cls, content: Json) -> Fruitless:
        """From a record."""
        found = cls()
        for one in content if isinstance(content, list) else ():
            if isinstance(one, dict):
                run = Run(
                    int(str(one["unfilled"])),
                    int(str(one["lost"])),
                    parse_instant(str(one["at"])),
                    str(one["order_id"]),
                )
                found._runs[str(one["strategy_id"])] = run
        return found
