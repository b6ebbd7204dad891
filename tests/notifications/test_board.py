"""What is sent at each turn: what fires ends in the future, what has ended did in the past."""

from rollbackd.model.incidents import State
from rollbackd.notifications.board import RESOLVED_RETENTION_MS, Board
from rollbackd.notifications.links import Links, rfc3339
from rollbackd.notifications.standing import Facts, OwnAlert, standing_alerts
from tests.notifications.samples import NOW, incident_in

RESEND = 30_000


def alerts(state: State) -> list[OwnAlert]:
    return standing_alerts(Facts(incidents=[incident_in(state)]), NOW)


def ends(board: Board, now_ms: int) -> dict[str, str]:
    """The end of each alert that would be sent."""
    rendered: list[dict[str, dict[str, str]]] = board.render(now_ms)  # type: ignore[assignment]
    return {each["labels"]["alertname"]: str(each["endsAt"]) for each in rendered}


def test_a_firing_alert_outlives_three_sends_that_fail() -> None:
    board = Board(Links(), RESEND)
    board.turn(alerts(State.WATCHING), NOW)
    assert ends(board, NOW) == {"RollbackdIncidentOpen": rfc3339(NOW + 4 * RESEND)}
    assert ends(board, NOW + RESEND) == {"RollbackdIncidentOpen": rfc3339(NOW + 5 * RESEND)}


def test_the_end_of_an_alert_is_repeated_for_a_while() -> None:
    board = Board(Links(), RESEND)
    board.turn(alerts(State.NEEDS_HUMAN), NOW)
    assert board.differs(alerts(State.WATCHING))
    board.turn(alerts(State.WATCHING), NOW + 1)
    assert not board.differs(alerts(State.WATCHING))
    for later in (NOW + 2, NOW + RESOLVED_RETENTION_MS):
        board.turn(alerts(State.WATCHING), later)
        assert ends(board, later)["RollbackdNeedsHuman"] == rfc3339(NOW + 1)
    board.turn(alerts(State.WATCHING), NOW + RESOLVED_RETENTION_MS + 1)
    assert "RollbackdNeedsHuman" not in ends(board, NOW + RESOLVED_RETENTION_MS + 1)


def test_an_alert_that_fires_again_has_not_ended() -> None:
    board = Board(Links(), RESEND)
    for state, now_ms in ((State.NEEDS_HUMAN, 1), (State.WATCHING, 2), (State.NEEDS_HUMAN, 3)):
        board.turn(alerts(state), NOW + now_ms)
    assert ends(board, NOW + 3)["RollbackdNeedsHuman"] == rfc3339(NOW + 3 + 4 * RESEND)
    assert len(board.render(NOW + 3)) == 2
