"""What is asked about a rule: of the running daemon, or of a recording."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from rollbackd.app.backtest.findings import Findings
from rollbackd.app.backtest.play import play
from rollbackd.app.backtest.recording import Entry, Faults, Recorded
from rollbackd.app.backtest.times import parse_time
from rollbackd.app.configuration import Configuration
from rollbackd.model.decisions import Reason
from rollbackd.model.events import Batch
from rollbackd.model.explanations import Fate, RuleExplanation
from rollbackd.model.labels import Labels, Scope
from rollbackd.settings import ScopeLabels, Settings
from rollbackd.triggers.explaining import FateOf, Question, no_fate

#: A time that is hardly past is answered as now: the request itself has taken some.
_JUST_NOW_MS: Final = 1_000
_IN_THE_PAST: Final = (
    "this is what the windows in memory give for that time: they may be cut short, and what was"
    " pending then is not known; a recording (`--events`) gives the exact answer"
)


def live_question(
    at: str,
    *,
    now_ms: int,
    scope: Scope | None,
    scope_labels: ScopeLabels,
    fate_of: FateOf,
    limit: int,
) -> Question:
    """A question to the running engine. Raises ValueError for a bad time."""
    at_ms = parse_time(at) if at else now_ms
    if at_ms > now_ms + _JUST_NOW_MS:
        raise ValueError(f"`{at}` lies in the future")
    is_now = at_ms >= now_ms - _JUST_NOW_MS
    return question_of(
        now_ms if is_now else at_ms,
        scope=scope,
        scope_labels=scope_labels,
        fate_of=fate_of if is_now else no_fate,
        limit=limit,
        instances_known=is_now,
        notes=() if is_now else (_IN_THE_PAST,),
    )


def question_of(
    at_ms: int,
    *,
    scope: Scope | None,
    scope_labels: ScopeLabels,
    fate_of: FateOf,
    limit: int,
    instances_known: bool = True,
    notes: tuple[str, ...] = (),
) -> Question:
    """A question about one scope, or about all."""
    names = scope_labels.service, scope_labels.region
    return Question(
        at_ms=at_ms,
        scope_labels=dict(zip(names, (scope.service, scope.region), strict=True)) if scope else {},
        scope=str(scope) if scope else "",
        scope_names=names,
        limit=limit,
        fate_of=fate_of,
        instances_known=instances_known,
        notes=notes,
    )


async def explain_recording(
    recordings: Sequence[Recorded],
    configuration: Configuration,
    settings: Settings,
    rule: str,
    *,
    scope: Scope | None,
    at_ms: int | None,
    limit: int,
    faults: Faults,
) -> list[RuleExplanation]:
    """Play recordings up to a time, or to their end, and explain a rule there.

    Raises UnknownRuleError, and UnreadableError also when there is no event.
    """
    engine = configuration.engine

    def ask(at_ms: int, fate_of: FateOf) -> list[RuleExplanation]:
        question = question_of(
            at_ms, scope=scope, scope_labels=settings.scope_labels, fate_of=fate_of, limit=limit
        )
        return engine.explain(rule, question)

    ask(0, no_fate)  # a name that nobody has is said before the recording is read
    ended: list[Recorded] = list(recordings)
    if at_ms is not None:
        ended = [*(_Until(each, at_ms) for each in recordings), _Moment(at_ms)]
    findings = await play(ended, configuration, settings, faults=faults)
    return ask(findings.input.to_ms, partial(_dry_fate, findings, settings.scope_labels))


def _dry_fate(findings: Findings, names: ScopeLabels, rule: str, labels: Labels) -> Fate:
    """The last decision about an instance."""
    mine = dict(labels)
    scope = f"{mine.get(names.service, '')}/{mine.get(names.region, 'global')}"
    for decision in reversed(findings.decisions):
        if decision.rule == rule and decision.labels == mine:
            if decision.would_act:
                return Fate(incident_id=f"{decision.number} of the dry run")
            return Fate(reason=decision.reason)
        if decision.scope == scope and any(each.rule == rule for each in decision.joined):
            return Fate(reason=Reason.JOINED_OPEN_INCIDENT)
    ignored = (i.reason for i in reversed(findings.ignored) if i.rule == rule)
    return Fate(reason=next(ignored, None))


class _Until:
    """A recording that ends at a time."""

    def __init__(self, inner: Recorded, at_ms: int) -> None:
        self.name = inner.name
        self.done = self.total = 0
        self._inner = inner
        self._at_ms = at_ms

    async def open(self) -> None:
        """See Recorded."""
        await self._inner.open()

    async def chunk(self) -> Sequence[Entry]:
        """See Recorded."""
        return [e for e in await self._inner.chunk() if e.arrival_ms <= self._at_ms]

    async def close(self) -> None:
        """See Recorded."""
        await self._inner.close()


class _Moment:
    """An arrival of nothing, so that time passes until then."""

    def __init__(self, at_ms: int) -> None:
        self.name = "at"
        self.done = self.total = 0
        self._left = [Entry(at_ms, Batch())]

    async def open(self) -> None:
        """See Recorded."""

    async def chunk(self) -> Sequence[Entry]:
        """See Recorded."""
        left, self._left = self._left, []
        return left

    async def close(self) -> None:
        """See Recorded."""
