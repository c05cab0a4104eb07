"""The shadow machine: ledger records, closed bars and funding in, shadow positions out.

What comes in waits until `advance` lets it happen, in order of its time: at one instant bars first, then funding, then
records. So the machine gives the same whether it is told things as they happen or all at once, and in whatever order
they arrived before their time. What comes later than that is late: a late bar amends the positions that missed it, by a
new entry; nothing that was told is taken back.

* Every blocked entry opens a position, and so does the part that a reduction took off, unless one of the same strategy,
  symbol and side is open already: then it is a repeat. A policy that sets `max_accumulations` would have let it
  accumulate; then it opens one up to that number, `accumulation_cooldown_seconds` apart, and within the limits of open
  positions and exposure, for which the account's equity must be known. Without that number each is a repeat.
* Every promoted entry opens one, too: what the machine says of it can be held against its fills. One that expired was
  not promoted, and counts as blocked.
* A ``close`` or an opposite intent of the same strategy and symbol ends what it has open; of what was promoted only if
  it was promoted itself.
* Fee, slippage, leverage and holding time are those of the policy that the decision was judged under.

Shadow positions never reach a verdict.
"""

from __future__ import annotations

import heapq
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from petrosa_cio.apps.auditor.accumulation import equity_of, may_accumulate
from petrosa_cio.apps.auditor.barriers import LONGEST_HOLE_MS, Candle, Settlement, candle_of
from petrosa_cio.apps.auditor.episodes import Episode, Episodes, Place
from petrosa_cio.apps.auditor.openings import intent_of, openings, sound_facts, spread_of
from petrosa_cio.apps.auditor.outcomes import Tracked
from petrosa_cio.apps.auditor.shadow_record import shadow_content, shadow_made, shadow_of
from petrosa_cio.apps.auditor.tracks import AMENDABLE_MS, Quiet, Step, Track, quiet_of
from petrosa_cio.apps.nurse.bars import is_sound
from petrosa_cio.apps.nurse.facts import Side
from petrosa_cio.apps.nurse.models import SECOND, VerdictKind, parse_instant
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.apps.nurse.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from petrosa_cio.apps.auditor.outcomes import Shadow
    from petrosa_cio.apps.auditor.positions import Key, Position
    from petrosa_cio.apps.nurse.bars import Bar
    from petrosa_cio.apps.nurse.models import Instant, Json
    from petrosa_cio.apps.nurse.policy import Limits, Policy
    from petrosa_cio.apps.nurse.simulation import FundingTime

_MS = 1_000_000
_BAR, _FUNDING, _RECORD = 0, 1, 2
_SIDES = {"buy": Side.LONG, "sell": Side.SHORT}
_OTHER = {Side.LONG: Side.SHORT, Side.SHORT: Side.LONG}


class Entry(NamedTuple):
    """One entry of the shadow ledger. ``amends`` is the number of the entry that it takes the place of."""

    number: int
    amends: int | None
    shadow: Shadow


class _Waiting(msgspec.Struct, array_like=True, order=True):
    """What came in and has not happened yet, in the order in which it will."""

    at: int
    rank: int
    symbol: str
    number: int
    what: Candle | Settlement | dict[str, object]


class _State(msgspec.Struct):
    """All that the machine knows, as it is written down."""

    waiting: list[tuple[int, int, str, int, Candle | None, Settlement | None, dict[str, object] | None]]
    counts: tuple[int, int, int]
    policies: list[tuple[str, dict[str, object]]]
    tracks: list[Track]
    amendable: list[Track]
    last: list[Candle]
    settled: list[tuple[str, list[Settlement]]]
    spreads: dict[str, Decimal]
    episodes: list[tuple[Place, Episode]]
    upto: int
    record_at: int
    entries: int
    orders: int
    unused: int
    told: list[tuple[int, int | None, dict[str, object]]]


class ShadowMachine:
    """Shadow positions of one book. Give it records, bars and funding; `advance`; take what was `told`."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []
        self._counts = [0, 0, 0]
        self._policies: dict[str, Policy] = {}
        self._default = read_policy({})
        self._tracks: dict[str, dict[Key, Track]] = {}
        """Of each symbol what is not ended yet, in order of decision."""
        self._quiet: dict[Key, Quiet | None] = {}
        self._amendable: dict[str, list[Track]] = {}
        self._last: dict[str, Candle] = {}
        self._settled: dict[str, list[Settlement]] = {}
        self._spreads: dict[str, Decimal] = {}
        self._episodes = Episodes()
        self._upto: Instant = 0
        self._record_at: Instant = 0
        self._entries = 0
        self._orders = 0
        self._told: list[Entry] = []
        self.unused = 0
        """Bars that could not be, told nothing new or came too late for anything to be amended by them."""

    def record(self, content: Mapping[str, object]) -> None:
        """Take in a ledger record, as `content_of` gives it or as it was read back; in the order of the ledger.

        Of kinds that say nothing of intents nothing is kept.
        """
        if content.get("kind") in ("policy", "decision", "expired"):
            at = content.get("at")
            self._record_at = max(self._record_at, 0 if at is None else parse_instant(str(at)))
            self._wait(self._record_at, _RECORD, "", dict(content))

    def bar(self, bar: Bar) -> None:
        """Take in a closed bar."""
        if is_sound(bar):
            self._wait(bar.close_time_ms * _MS, _BAR, bar.symbol, candle_of(bar))
        else:
            self.unused += 1

    def settle(self, one: FundingTime) -> None:
        """Take in a settlement of funding."""
        self._wait(one.at_ms * _MS, _FUNDING, one.symbol, Settlement(one.at_ms, one.rate, one.mark))

    def advance(self, upto: Instant) -> None:
        """Let everything happen that came in and is not later than ``upto``."""
        self._upto = max(self._upto, upto)
        while self._waiting and self._waiting[0].at <= self._upto:
            one = heapq.heappop(self._waiting)
            match one.what:
                case Candle():
                    self._bar(one.what)
                case Settlement():
                    if self._tracks.get(one.symbol) or self._amendable.get(one.symbol):
                        self._settled.setdefault(one.symbol, []).append(one.what)
                case _:
                    self._record(one.what, one.at)

    def told(self) -> list[Entry]:
        """The entries of the shadow ledger since the last call, in order: each position when it ended."""
        told, self._told = self._told, []
        return told

    def standing(self) -> list[Shadow]:
        """What has not ended by the last `advance`, marked to the last close, in order of decision."""
        tracks = [track for tracks in self._tracks.values() for track in tracks.values()]
        return [self._made(track) for track in sorted(tracks, key=lambda track: track.order)]

    def content(self) -> dict[str, Json]:
        """All that the machine knows, as one JSON object; `read` goes on from there."""
        waiting = [(one.at, one.rank, one.symbol, one.number, *_apart(one.what)) for one in sorted(self._waiting)]
        state = _State(
            waiting=waiting,
            counts=(self._counts[0], self._counts[1], self._counts[2]),
            policies=[(revision, dict(policy.content)) for revision, policy in self._policies.items()],
            tracks=[track for tracks in self._tracks.values() for track in tracks.values()],
            amendable=[track for tracks in self._amendable.values() for track in tracks],
            last=list(self._last.values()),
            settled=[(symbol, list(due)) for symbol, due in self._settled.items()],
            spreads=self._spreads,
            episodes=self._episodes.content(),
            upto=self._upto,
            record_at=self._record_at,
            entries=self._entries,
            orders=self._orders,
            unused=self.unused,
            told=[(one.number, one.amends, dict(shadow_content(one.shadow))) for one in self._told],
        )
        written: dict[str, Json] = msgspec.to_builtins(state)
        return written

    @classmethod
    def read(cls, content: Mapping[str, Json]) -> ShadowMachine:
        """The machine that `content` was taken of. Raises ValueError for what is no such object."""
        state = msgspec.convert(content, _State)
        machine = cls()
        for at, rank, symbol, number, candle, settlement, record in state.waiting:
            what = candle or settlement or record or {}
            machine._waiting.append(_Waiting(at, rank, symbol, number, what))
        machine._counts = list(state.counts)
        machine._policies = {revision: read_policy(text) for revision, text in state.policies}  # type: ignore[arg-type]
        for track in state.tracks:
            machine._tracks.setdefault(track.position.symbol, {})[track.position.key] = track
            machine._quiet[track.position.key] = quiet_of(track)
        for track in state.amendable:
            machine._amendable.setdefault(track.position.symbol, []).append(track)
        machine._last = {one.symbol: one for one in state.last}
        machine._settled = dict(state.settled)
        machine._spreads = dict(state.spreads)
        machine._episodes.take(state.episodes)
        machine._upto, machine._record_at = state.upto, state.record_at
        machine._entries, machine._orders, machine.unused = state.entries, state.orders, state.unused
        machine._told = [Entry(number, amends, shadow_of(told)) for number, amends, told in state.told]  # type: ignore[arg-type]
        return machine

    def _wait(self, at: Instant, rank: int, symbol: str, what: Candle | Settlement | dict[str, object]) -> None:
        # Each source is numbered by itself, so that how sources are mixed decides nothing.
        self._counts[rank] += 1
        heapq.heappush(self._waiting, _Waiting(at, rank, symbol, self._counts[rank], what))

    def _bar(self, candle: Candle) -> None:
        symbol, last = candle.symbol, self._last.get(candle.symbol)
        if last is not None and candle.open_ms <= last.close_ms:
            self._late(candle)
            return
        self._last[symbol] = candle
        seen_ms = -1 if last is None else last.close_ms
        settled = tuple(self._settled.pop(symbol, ()))
        follows = candle.open_ms == seen_ms + 1 and not settled
        step = Step(candle.close_ms, candle, settled)
        for track in self._old(symbol, candle.close_ms):
            track.step(seen_ms, step)
        for key, track in list(self._tracks.get(symbol, {}).items()):
            quiet = self._quiet[key] if follows else None
            if quiet is not None and quiet.holds(candle):
                continue
            track.step(seen_ms, step)
            self._after(track)

    def _old(self, symbol: str, at_ms: int) -> list[Track]:
        """The ended positions of a symbol that late bars may still amend."""
        kept = [track for track in self._amendable.get(symbol, ()) if at_ms - track.closed_ms <= AMENDABLE_MS]
        if kept:
            self._amendable[symbol] = kept
        else:
            self._amendable.pop(symbol, None)
        return kept

    def _late(self, candle: Candle) -> None:
        """A bar from before the last one: for those that missed it, it was there."""
        going = [one for one in self._tracks.get(candle.symbol, {}).values() if one.takes(candle)]
        ended = [one for one in self._amendable.get(candle.symbol, ()) if one.takes(candle)]
        for track in going:
            track.amend(candle)
            self._after(track)
        for track in ended:
            before = self._made(track)
            track.amend(candle)
            if self._made(track) != before:
                self._tell(track)
                self._reopen(track)
        self.unused += not (going or ended)

    def _reopen(self, track: Track) -> None:
        """An ended position that, as late bars show, has not ended goes on."""
        if not track.position.over:
            self._amendable[track.position.symbol].remove(track)
            self._tracks.setdefault(track.position.symbol, {})[track.position.key] = track
            self._quiet[track.position.key] = None

    def _after(self, track: Track) -> None:
        """A position was looked at: note what will do nothing to it, or that it has ended."""
        position = track.position
        if not position.over:
            self._quiet[position.key] = quiet_of(track)
            return
        self._tell(track)
        track.closed_ms = self._last[position.symbol].close_ms
        del self._quiet[position.key], self._tracks[position.symbol][position.key]
        if not self._tracks[position.symbol]:
            del self._tracks[position.symbol]
        if track.frozen is not None:
            self._amendable.setdefault(position.symbol, []).append(track)

    def _tell(self, track: Track) -> None:
        self._entries += 1
        self._told.append(Entry(self._entries, track.entry or None, self._made(track)))
        track.entry = self._entries

    def _made(self, track: Track) -> Shadow:
        position = track.position
        last = self._last.get(position.symbol)
        if last is not None and last.close_ms < position.decided_ms:
            last = None
        known_ms = position.decided_ms if last is None else last.close_ms
        known = self._upto // _MS - known_ms <= LONGEST_HOLE_MS
        return shadow_made(position, track.repeats, None if last is None else last.close, known=known)

    def _record(self, content: dict[str, object], at: Instant) -> None:
        match content.get("kind"):
            case "policy":
                self._policies[str(content.get("policy_revision"))] = read_policy(content.get("policy"))  # type: ignore[arg-type]
            case "expired":
                self._expired(str(content.get("decision_id")))
            case _:
                self._decided(content, at)

    def _expired(self, decision_id: str) -> None:
        old = (decision_id, Tracked.PROMOTED)
        for tracks in self._tracks.values():
            if old in tracks:
                track = tracks.pop(old)
                why = (*track.position.reasons, Reason.GOVERNANCE_TIMEOUT.value)
                track.position = msgspec.structs.replace(track.position, tracked=Tracked.BLOCKED, reasons=why)
                tracks[track.position.key] = track
                self._quiet[track.position.key] = self._quiet.pop(old)
                return

    def _decided(self, content: dict[str, object], at: Instant) -> None:
        if content.get("action") not in ("buy", "sell", "close"):
            return
        strategy, symbol = str(content.get("strategy_id")), str(content.get("symbol"))
        side, verdict = _SIDES.get(str(content.get("action"))), VerdictKind(str(content.get("verdict")))
        intent = intent_of(content)
        if intent is None:
            return
        self._leave(strategy, symbol, None if side is None else _OTHER[side], at, promoted=verdict.promotes)
        if side is None:
            return
        policy = self._policies.get(str(content.get("policy_revision")), self._default)
        limits = policy.limits(symbol, strategy, side)
        market = sound_facts(content, intent, limits)
        spread = spread_of(market)
        if spread is not None:
            self._spreads[symbol] = spread
        positions = openings(content, intent, limits, market, self._spreads.get(symbol))
        if positions:
            self._open(content, limits, positions, at)

    def _leave(self, strategy: str, symbol: str, side: Side | None, at: Instant, *, promoted: bool) -> None:
        """The strategy wants out of ``side``, or of both."""
        self._episodes.end(strategy, symbol, side)
        step = Step(at // _MS)
        for track in [*self._tracks.get(symbol, {}).values(), *self._amendable.get(symbol, ())]:
            position = track.position
            mine = position.strategy_id == strategy and side in (None, position.side)
            if mine and (promoted or position.tracked is not Tracked.PROMOTED):
                track.step(-1, step)
                if track.position.key in self._quiet:
                    self._quiet[track.position.key] = None

    def _open(self, content: Mapping[str, object], limits: Limits, found: Iterable[Position], at: Instant) -> None:
        for position in found:
            same = [track for track in self._of(position) if track.position.leaving_ms is None]
            place = (position.strategy_id, position.symbol, position.side)
            cooldown = round(limits.required_number("shadow_cooldown_minutes") * 60 * SECOND)
            episode = self._episodes.of(place, position.decision_id, at, cooldown, is_open=bool(same))
            repeated = self._repeated(position, same, content, limits)
            if repeated is not None:
                repeated.repeats += 1
                continue
            self._orders += 1
            track = Track(self._orders, msgspec.structs.replace(position, episode=episode))
            self._tracks.setdefault(position.symbol, {})[position.key] = track
            self._quiet[position.key] = quiet_of(track)

    def _of(self, position: Position) -> Iterator[Track]:
        """What of the same strategy, symbol and side has not ended."""
        for track in self._tracks.get(position.symbol, {}).values():
            other = track.position
            if (other.strategy_id, other.side) == (position.strategy_id, position.side) and not other.over:
                yield track

    def _repeated(
        self, position: Position, same: list[Track], content: Mapping[str, object], limits: Limits
    ) -> Track | None:
        """The position that this one only repeats; None where it opens one of its own."""
        if position.tracked is Tracked.PROMOTED:
            return None
        twice = Reason.DUPLICATE_INTENT.value in position.reasons
        held = [track for track in same if twice or track.position.tracked is not Tracked.PROMOTED]
        # The two parts of one decision do not repeat one another.
        held = [track for track in held if track.position.decision_id != position.decision_id]
        if not held:
            return None
        everything = (track.position for tracks in self._tracks.values() for track in tracks.values())
        shadows = [one for one in everything if one.tracked is not Tracked.PROMOTED and not one.over]
        before = [track.position for track in held]
        if not twice and may_accumulate(position, before, shadows, limits, equity_of(content)):
            return None
        return held[-1]


def _apart(
    what: Candle | Settlement | dict[str, object],
) -> tuple[Candle | None, Settlement | None, dict[str, object] | None]:
    match what:
        case Candle():
            return what, None, None
        case Settlement():
            return None, what, None
        case _:
            return None, None, what
