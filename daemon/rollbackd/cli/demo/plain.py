"""The demo without a terminal: one line for each thing that happens, as CI logs read best."""

from rich.console import Console
from rich.text import Text

from rollbackd.cli.demo.scene import Scene
from rollbackd.cli.incident_story import transition
from rollbackd.cli.phrases import number
from rollbackd.documents.numbers import exact

#: Seconds between two lines about the drift or the hold.
_EVERY = 2.0


class PlainLines:
    """Prints what is new in the scene since the last look."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._story = ""
        self._steps = 0
        self._hold = 0
        self._next_drift = 0.0

    def show(self, scene: Scene) -> None:
        """Print a line for each new thing."""
        if self._steps:
            # What led to a part of the story comes before it.
            self._incident(scene)
        if scene.story != self._story:
            self._story = scene.story
            self._line(scene, Text(scene.story, style="bold"))
        if scene.detail is None:
            self._drift(scene)
        elif not self._steps:
            self._incident(scene)

    def _incident(self, scene: Scene) -> None:
        transitions = scene.transitions()
        for record in transitions[self._steps :]:
            self._line(scene, transition(record))
        self._steps = len(transitions)
        quarter = int(scene.hold_fraction * 4)
        if self._hold < quarter < 4:
            self._hold = quarter
            self._line(scene, Text(f"green for {quarter * 25} % of the hold"))

    def _drift(self, scene: Scene) -> None:
        value = scene.drift[-1] if scene.drift else None
        if value is None or scene.elapsed_seconds < self._next_drift:
            return
        self._next_drift = scene.elapsed_seconds + _EVERY
        share = f"canary {scene.canary_share:.0%}"
        drift = number(value, beside=scene.threshold)
        text = f"ΔS drift p95 {drift}, threshold {exact(scene.threshold)} ({share})"
        self._line(scene, Text(text))

    def _line(self, scene: Scene, text: Text) -> None:
        at = Text(f"{scene.elapsed_seconds:5.1f} s  ", style="cyan")
        self._console.print(at.append_text(text), soft_wrap=True)
