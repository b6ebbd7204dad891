"""dS of texts with a small model on this machine: the static embeddings of WordLlama.

https://github.com/dleemiller/WordLlama: 32,000 token vectors of 256 dimensions, 16 MB, carried by
the package. A text is the mean of its tokens' vectors. The files are read here, and the package is
not imported: it would set up logging, and make one array of a whole batch padded to its longest
text.
"""

import asyncio
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from rollbackd.errors import PermanentError
from rollbackd.model.facts import Scorable
from rollbackd.model.scoring import Scores

_PACKAGES: Final = ("numpy", "safetensors", "tokenizers", "wordllama")
_WEIGHTS: Final = "weights/l2_supercat_256.safetensors"
_TOKENIZER: Final = "tokenizers/l2_supercat_tokenizer_config.json"
_EXTRA: Final = (
    "`scoring.mode: embedded` needs packages that are not installed ({}); install "
    "`rollbackd[scorer]`, or use `mode: http`"
)

_Embed = Callable[[list[str]], list[Any]]


class EmbeddedScorer:
    """Works in one thread of its own; the model is read with the first batch."""

    model = "wordllama-l2_supercat_256"

    def __init__(self) -> None:
        """Raises PermanentError when the extra is not installed."""
        missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            raise PermanentError(_EXTRA.format(", ".join(missing)))
        self.version = importlib.metadata.version("wordllama")
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scorer")
        self._embed: _Embed | None = None

    async def score(self, facts: Sequence[Scorable]) -> list[Scores]:
        """See `ports.Scorer`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._score, facts)

    async def close(self) -> None:
        """See `ports.Scorer`; the batch that is under way is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _score(self, facts: Sequence[Scorable]) -> list[Scores]:
        try:
            if self._embed is None:
                self._embed = _load()
            embed = self._embed
            questions = embed([fact.question for fact in facts])
            contexts = embed([fact.context for fact in facts])
            anchors = iter(embed([fact.anchor for fact in facts if fact.anchor]))
        except Exception as error:  # noqa: BLE001  # whatever libraries and the disk raise
            # Their messages may quote texts.
            raise PermanentError(f"the model failed: {type(error).__name__}") from None
        return [
            Scores(
                float(1 - question @ context),
                float(1 - context @ next(anchors)) if fact.anchor else None,
            )
            for fact, question, context in zip(facts, questions, contexts, strict=True)
        ]


def _load() -> _Embed:
    numpy = importlib.import_module("numpy")
    tokenizers = importlib.import_module("tokenizers")
    safetensors = importlib.import_module("safetensors.numpy")
    package = importlib.util.find_spec("wordllama")
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / _TOKENIZER))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    vectors = safetensors.load_file(folder / _WEIGHTS)["embedding.weight"]

    def embed(texts: list[str]) -> list[Any]:
        """Unit vectors; of what has no tokens, NaN."""
        found = []
        for tokens in tokenizer.encode_batch(texts, add_special_tokens=False):
            mean = vectors[tokens.ids or [0]].mean(axis=0, dtype=numpy.float32)
            length = numpy.linalg.norm(mean) if tokens.ids else 0.0
            found.append(mean / length if length > 0 else numpy.full_like(mean, numpy.nan))
        return found

    return embed
