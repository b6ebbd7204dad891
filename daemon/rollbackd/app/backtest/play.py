"""Plays a recording through production's intake, evaluation loop and dispatcher.

Live, the loop goes round every `engine.coalesce` and evaluates when something changed or time is
due. So it is here, on a clock that stands still between two events: rounds in which nothing can
happen are left out, all others take place at the time at which they would have.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from rollbackd.app.backtest.curves import CurveSampler
from rollbackd.app.backtest.dry_daemon import build_dry_daemon
from rollbackd.app.backtest.findings import BadInput, Findings, Gap, Input
from rollbackd.app.backtest.recording import Entry, Faults, Recorded, UnreadableError, merged
from rollbackd.app.configuration import Configuration
from rollbackd.model.events import Batch, KnownGood
from rollbackd.promql.routes import Refusal
from rollbackd.promql.series import LOOKBACK_MS
from rollbackd.settings import Settings

_SOURCE: Final = "backtest"
#: Entries between two words to the progress bar.
_TELL_EVERY: Final = 2_000
#: What a stretch without events has to last beyond all windows before it is skipped.
_QUIET_MS: Final = 3_600_000

#: Told how much has been read of how much.
OnProgress = Callable[[int, int], None]


async def play(
    recordings: Sequence[Recorded],
    configuration: Configuration,
    settings: Settings,
    *,
    faults: Faults,
    known_good: Sequence[KnownGood] = (),
    with_curves: bool = False,
    on_progress: OnProgress = lambda _done, _total: None,
) -> Findings:
    """What would have happened. Raises UnreadableError, also when there is no event at all."""
    player = _Player(configuration, settings, with_curves=with_curves)
    try:
        for recording in recordings:
            await recording.open()
        total = sum(each.total for each in recordings)
        count = 0
        async for entry in merged(recordings):
            if not count:
                await player.begin(entry.arrival_ms, known_good)
            await player.feed(entry)
            count += 1
            if not count % _TELL_EVERY:
                on_progress(sum(each.done for each in recordings), total)
    finally:
        for recording in recordings:
            await recording.close()
    if not count:
        raise _nothing_in(recordings, faults)
    await player.end()
    on_progress(total, total)
    return player.findings([each.name for each in recordings], faults, events=count)


def _nothing_in(recordings: Sequence[Recorded], faults: Faults) -> UnreadableError:
    message = f"there is no event in {', '.join(each.name for each in recordings)}"
    if faults.ignored:
        message += f" that says anything, among {faults.ignored:,}; see `rollbackd check --sample`"
    for place, reason in faults.first[:1]:
        message += f"; {place}: {reason}"
    return UnreadableError(message)


class _Player:
    """Moves the clock of a daemon without a world from one event to the next."""

    def __init__(
        self, configuration: Configuration, settings: Settings, *, with_curves: bool
    ) -> None:
        self._configuration = configuration
        self._coalesce_ms = settings.engine.coalesce_ms
        self._dry = dry = build_dry_daemon(configuration, settings)
        self._engine, self._clock = configuration.engine, dry.clock
        self._intake, self._runner, self._recorder = dry.intake, dry.runner, dry.recorder
        self._sampler = (
            CurveSampler(self._engine, configuration.rule_files) if with_curves else None
        )
        self._quiet_ms = _quiet_ms(configuration)
        self._origin_ms = 0
        self._last_turn_ms = 0
        #: Whether anything came in since the last turn.
        self._news = False
        self._samples = 0
        self._gaps: list[Gap] = []

    async def begin(self, now_ms: int, known_good: Iterable[KnownGood]) -> None:
        """Set the clock to the first event; what is known good from outside is in force."""
        self._clock.advance(now_ms)
        self._origin_ms = now_ms
        self._last_turn_ms = now_ms - self._coalesce_ms
        before = [replace(k, recorded_at_ms=min(k.recorded_at_ms, now_ms)) for k in known_good]
        await self._intake.ingest(Batch(known_good=before), source=_SOURCE)

    async def feed(self, entry: Entry) -> None:
        """Let time pass until the entry arrives, and take it in."""
        await self._pass_until(entry.arrival_ms)
        self._move_to(entry.arrival_ms)
        await self._intake.ingest(entry.batch, source=_SOURCE)
        self._samples += len(entry.batch.samples)
        self._news = True

    async def end(self) -> None:
        """Evaluate what came last; nothing is known of what came after it."""
        if self._news:
            await self._turn(self._next_turn_ms())

    def findings(self, names: list[str], faults: Faults, *, events: int) -> Findings:
        """Everything that was noted."""
        now_ms = self._clock.now()
        transitions = self._recorder.transitions
        return Findings(
            input=Input(
                sources=names,
                from_ms=self._origin_ms,
                to_ms=now_ms,
                events=events,
                samples=self._samples,
                ignored=faults.ignored,
                bad=faults.count,
                bad_inputs=[BadInput(place=p, reason=r) for p, r in faults.first],
                refused=self._refused(),
                gaps=self._gaps,
            ),
            rules=self._recorder.alert_rules(self._configuration.rule_files),
            transitions=transitions,
            decisions=self._recorder.decisions(self._dry.store.oldest_first(), self._runner.cases),
            ignored=self._recorder.ignored_triggers,
            failures=self._recorder.failures(),
            evaluations=self._recorder.evaluations,
            curves=self._sampler.curves({t.rule for t in transitions}) if self._sampler else [],
        )

    async def _pass_until(self, arrival_ms: int) -> None:
        """Every round that ends before the arrival."""
        while (turn_ms := self._next_turn_ms()) < arrival_ms:
            quiet_ms = self._clock.now() + self._quiet_ms
            if not self._news and arrival_ms > quiet_ms + self._quiet_ms:
                await self._skip(quiet_ms, arrival_ms)
                return
            await self._turn(turn_ms)

    async def _skip(self, quiet_ms: int, arrival_ms: int) -> None:
        """Live through the windows, then pass over what cannot change any more."""
        while (turn_ms := self._next_turn_ms()) < quiet_ms:
            await self._turn(turn_ms)
        self._gaps.append(Gap(from_ms=self._clock.now(), to_ms=arrival_ms))
        self._last_turn_ms = self._on_grid(arrival_ms) - self._coalesce_ms

    def _next_turn_ms(self) -> int:
        """The next round that has something to do."""
        now_ms = self._clock.now()
        due_ms = now_ms if self._news else self._engine.next_due_ms(now_ms)
        return max(self._on_grid(due_ms), self._last_turn_ms + self._coalesce_ms)

    def _on_grid(self, time_ms: int) -> int:
        """The first round at or after a time."""
        return time_ms + (self._origin_ms - time_ms) % self._coalesce_ms

    async def _turn(self, turn_ms: int) -> None:
        self._move_to(turn_ms)
        self._last_turn_ms, self._news = turn_ms, False
        await self._runner.advance(turn_ms)
        seen = len(self._recorder.transitions)
        self._dry.coverage.note()
        await self._dry.evaluation.turn()
        await self._runner.advance(turn_ms)
        if self._sampler is not None:
            self._sampler.sample(turn_ms, wanted=len(self._recorder.transitions) > seen)

    def _move_to(self, time_ms: int) -> None:
        self._clock.advance(max(0, time_ms - self._clock.now()))

    def _refused(self) -> dict[str, int]:
        value = self._dry.telemetry.registry.get_sample_value
        counts = {
            str(reason): value("rollbackd_samples_refused_total", {"reason": reason})
            for reason in Refusal
            if reason is not Refusal.NOT_READ
        }
        return {reason: int(count) for reason, count in counts.items() if count}


def _quiet_ms(configuration: Configuration) -> int:
    """How long after the last event everything that follows from it has happened."""
    rules = [rule for file in configuration.rule_files for g in file.groups for rule in g.rules]
    longest = max((rule.for_ms + rule.keep_firing_for_ms for rule in rules), default=0)
    return configuration.engine.longest_window_ms + LOOKBACK_MS + longest + _QUIET_MS
