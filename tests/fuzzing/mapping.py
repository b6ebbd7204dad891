"""Random mapping files, damaged, and events of others for those that are still sound."""

import random
import zlib
from pathlib import Path
from typing import Final

from rollbackd.events.collecting import Collector
from rollbackd.events.mapping.field_mapping import FieldMapping
from rollbackd.model.events import Rejected
from tests.fuzzing.mutation import chance_of, mutated

_FOLDER: Final = Path(__file__).parents[2] / "rules" / "mappings"
_MAPPINGS: Final = tuple(path.read_text() for path in sorted(_FOLDER.glob("*.yaml")))
_SAMPLES: Final = tuple(path.read_text() for path in sorted((_FOLDER / "samples").iterdir()))
_NOW_MS: Final = 1_795_377_600_000
_WORDS: Final = (
    "$", "@", "$.", "[0]", "[-1]", "[*]", "['a.b']", '"', "'", "..", ": ", "\n", "  ", "- ", "{",
    "}", "path: ", "const: ", "count: ", "sum: ", "map: ", "unit: ms -> s", "default: 1",
    "each: $.x", "required: true",
    "hash: true", "limit: 1", "exists: false", "null", "-1", "1e999", "é",
    "\x00", "when:", "fact:", "values:", "events:", "absent: [a]", "\\ud800", "$['\\ud800']",
)  # fmt: skip
_BROKEN: Final = (
    "null", "true", "{}", "[]", "-1", "1e400", '"nan"', '"\\ud800"', '"é"', ",", '"', "}", "\x00",
    "99999999999999999999999999", "\n",
)  # fmt: skip


def mapping_file(rng: random.Random) -> str:
    """A shipped mapping, sound or damaged."""
    text = rng.choice(_MAPPINGS)
    return mutated(rng, text, _WORDS, _MAPPINGS, most=rng.choice((0, 0, 1, 2, 6)))


class Mapped:
    """Compiles a mapping and gives it events; what is refused says why and leaves nothing."""

    def take(self, text: str) -> None:
        """Raises DocumentError for the mapping, and what should not be raised."""
        by = FieldMapping.read(text, file="mapping.yaml")
        rng = chance_of(len(text), zlib.crc32(text.encode("utf-8", "surrogatepass")))
        for sample in _SAMPLES:
            event = mutated(rng, sample, _BROKEN, _SAMPLES, most=rng.choice((0, 1, 3)))
            body = event.encode("utf-8", "surrogatepass")
            one, each = Collector(), Collector()
            refused = by.take_records([body], one, now_ms=_NOW_MS)
            verdicts = list(by.take_each(body, each, now_ms=_NOW_MS))
            if refused:
                assert not one.samples
                assert not one.facts
                assert str(refused[0][1])
                assert any(isinstance(verdict, Rejected) for verdict in verdicts)
            else:
                assert not any(verdicts)
                assert len(one.samples) == len(each.samples)
