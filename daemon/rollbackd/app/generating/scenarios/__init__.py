"""The catalogue of scenarios, by name."""

from collections.abc import Mapping
from typing import Final

from rollbackd.app.generating.scenario import Scenario
from rollbackd.app.generating.scenarios.effects import EFFECTS
from rollbackd.app.generating.scenarios.healthy import HEALTHY
from rollbackd.app.generating.scenarios.quality import QUALITY
from rollbackd.app.generating.scenarios.serving import SERVING
from rollbackd.app.generating.scenarios.versions import VERSIONS

SCENARIOS: Final[Mapping[str, Scenario]] = {
    each.name: each for each in (*QUALITY, *SERVING, *VERSIONS, *EFFECTS, *HEALTHY)
}
