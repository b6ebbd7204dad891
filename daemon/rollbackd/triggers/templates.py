"""Templates of annotations and labels: the part of Go's language that fills in values.

`{{ $labels.x }}`, `{{ $value }}`, pipelines and the formatting functions. No control flow, no
queries, no code: anything else is refused when the rule is loaded.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from rollbackd.triggers.humanize import (
    humanize,
    humanize1024,
    humanize_duration,
    humanize_percentage,
    plain,
    significant,
)


class TemplateError(ValueError):
    """A template that is refused; `start` and `end` are offsets into its text."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.start = start
        self.end = end


Value = float | str


@dataclass(frozen=True, slots=True)
class Fill:
    """What a template is filled with."""

    labels: Mapping[str, str]
    value: float
    external_labels: Mapping[str, str]


Expression = Callable[[Fill], Value]


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A compiled template."""

    parts: tuple[str | Expression, ...]
    #: What it was compiled from.
    text: str = ""

    def render(self, fill: Fill) -> str:
        """The text; a value that a function cannot take gives an error text, as in Prometheus."""
        try:
            return "".join(p if isinstance(p, str) else _text(p(fill)) for p in self.parts)
        except ValueError as error:
            return f"<error expanding template: {error}>"


_ACTION: Final = re.compile(r"\{\{(-\s)?(.*?)(\s-)?\}\}", re.DOTALL)
_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
    |(?P<path>[$.][A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)?)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
    |(?P<number>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<mark>[|()])""",
    re.VERBOSE | re.ASCII,
)
_VERB: Final = re.compile(r"%([-+ #0]*)(\d*)(?:\.(\d+))?([a-zA-Z%])")


def parse_template(text: str) -> Template:
    """Compile a template. Raises TemplateError with the place of what is not supported."""
    parts: list[str | Expression] = []
    at = 0
    for match in _ACTION.finditer(text):
        before = text[at : match.start()]
        parts.append(before.rstrip() if match.group(1) else before)
        at = match.end()
        if match.group(3):
            at += len(text[at:]) - len(text[at:].lstrip())
        body = match.group(2)
        if not (body.startswith("/*") and body.endswith("*/")):
            parts.append(_Action(body, match.start(2)).parse())
    rest = text[at:]
    if "{{" in rest:
        start = at + rest.index("{{")
        raise TemplateError("`{{` is never closed", start, start + 2)
    parts.append(rest)
    return Template(tuple(parts), text)


class _Action:
    """The inside of one `{{ }}`."""

    def __init__(self, body: str, offset: int) -> None:
        self._tokens: list[tuple[str, str, int]] = []
        self._at = 0
        self._end = offset + len(body)
        at = 0
        while at < len(body):
            match = _TOKEN.match(body, at)
            if match is None or match.lastgroup is None:
                raise TemplateError(
                    f"`{body[at]}` is not supported in a template", offset + at, offset + at + 1
                )
            if match.lastgroup != "space":
                self._tokens.append((match.lastgroup, match.group(), offset + at))
            at = match.end()

    def parse(self) -> Expression:
        """The whole pipeline."""
        result = self._pipeline()
        if self._at < len(self._tokens):
            _, text, start = self._tokens[self._at]
            raise TemplateError(f"`{text}` is not expected here", start, start + len(text))
        return result

    def _pipeline(self) -> Expression:
        result = self._command(None)
        while self._at < len(self._tokens) and self._tokens[self._at][1] == "|":
            self._at += 1
            result = self._command(result)
        return result

    def _command(self, piped: Expression | None) -> Expression:
        if self._at >= len(self._tokens):
            raise TemplateError("a value is missing", self._end - 1, self._end)
        kind, text, start = self._tokens[self._at]
        if kind == "word":
            self._at += 1
            _check_function(text, start)
            arguments = self._arguments()
            if piped is not None:
                arguments.append(piped)
            return _call(text, arguments, start)
        if piped is not None:
            raise TemplateError(f"`{text}` is no function", start, start + len(text))
        return self._operand()

    def _arguments(self) -> list[Expression]:
        found: list[Expression] = []
        while self._at < len(self._tokens) and self._tokens[self._at][1] not in {"|", ")"}:
            found.append(self._operand())
        return found

    def _operand(self) -> Expression:
        kind, text, start = self._tokens[self._at]
        self._at += 1
        if kind == "path":
            return _path(text, start)
        if kind == "string":
            constant = _unquote(text)
            return lambda _fill: constant
        if kind == "number":
            number = float(text)
            return lambda _fill: number
        if text == "(":
            inner = self._pipeline()
            if self._at >= len(self._tokens) or self._tokens[self._at][1] != ")":
                raise TemplateError("`(` is never closed", start, start + 1)
            self._at += 1
            return inner
        raise TemplateError(f"`{text}` is not supported in a template", start, start + len(text))


def _path(text: str, start: int) -> Expression:
    root, _, name = text[1:].partition(".")
    key = root.lower() if text[0] == "." else root
    if key == "value" and not name:
        return lambda fill: fill.value
    if key == "labels" and name:
        return lambda fill: fill.labels.get(name, "")
    if key in {"externalLabels", "externallabels"} and name:
        return lambda fill: fill.external_labels.get(name, "")
    raise TemplateError(
        f"`{text}` is not known; use `$value`, `$labels.<name>` or `$externalLabels.<name>`",
        start,
        start + len(text),
    )


def _number(value: Value) -> float:
    if isinstance(value, float):
        return value
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"cannot convert `{value}` to a number") from None


def _text(value: Value) -> str:
    return plain(value) if isinstance(value, float) else value


_NUMBER_FUNCTIONS: Final[dict[str, Callable[[float], str]]] = {
    "humanize": humanize,
    "humanize1024": humanize1024,
    "humanizeDuration": humanize_duration,
    "humanizePercentage": humanize_percentage,
}
_TEXT_FUNCTIONS: Final[dict[str, Callable[[str], str]]] = {
    "title": lambda text: re.sub(r"\b[a-z]", lambda m: m.group().upper(), text),
    "toLower": str.lower,
    "toUpper": str.upper,
}


def _check_function(name: str, start: int) -> None:
    known = ("printf", *_NUMBER_FUNCTIONS, *_TEXT_FUNCTIONS)
    if name not in known:
        listed = ", ".join(f"`{n}`" for n in known)
        raise TemplateError(
            f"template function `{name}` is not supported; known are {listed}",
            start,
            start + len(name),
        )


def _call(name: str, arguments: list[Expression], start: int) -> Expression:
    end = start + len(name)
    if name == "printf":
        return _printf(arguments, start, end)
    if len(arguments) != 1:
        raise TemplateError(f"`{name}` takes 1 argument, got {len(arguments)}", start, end)
    argument = arguments[0]
    if name in _NUMBER_FUNCTIONS:
        write = _NUMBER_FUNCTIONS[name]
        return lambda fill: write(_number(argument(fill)))
    change = _TEXT_FUNCTIONS[name]
    return lambda fill: change(_text(argument(fill)))


def _printf(arguments: list[Expression], start: int, end: int) -> Expression:
    if not arguments:
        raise TemplateError("`printf` needs a format", start, end)
    pattern = arguments[0](Fill({}, 0.0, {}))
    if not isinstance(pattern, str):
        raise TemplateError("the first argument of `printf` is its format", start, end)
    verbs = [m.group(4) for m in _VERB.finditer(pattern) if m.group(4) != "%"]
    if odd := next((v for v in verbs if v not in "feEgGsvq"), ""):
        raise TemplateError(f"verb `%{odd}` is not supported; use %f %e %g %s %v %q", start, end)
    if len(verbs) != len(arguments) - 1:
        raise TemplateError(
            f"the format has {len(verbs)} verbs for {len(arguments) - 1} values", start, end
        )
    rest = arguments[1:]
    return lambda fill: _formatted(pattern, [argument(fill) for argument in rest])


def _formatted(pattern: str, values: list[Value]) -> str:
    remaining = iter(values)

    def fill_in(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb == "%":
            return "%"
        value = next(remaining)
        spec = f"%{flags}{min(int(width), 200) if width else ''}"
        digits = f".{min(int(precision), 100)}" if precision else ""
        if verb in "feEgG":
            number = _number(value)
            if not math.isfinite(number):
                return (spec.replace("0", "") + "s") % significant(number)
            if verb in "gG" and not digits:
                shortest = plain(number)
                return (spec + "s") % (shortest.upper() if verb == "G" else shortest)
            return (spec + (digits or ".6") + verb) % number
        text = _text(value)
        return (spec + digits + "s") % (f'"{text}"' if verb == "q" else text)

    return _VERB.sub(fill_in, pattern)


def _unquote(text: str) -> str:
    if text[0] == "`":
        return text[1:-1]
    escapes = {"n": "\n", "t": "\t"}
    return re.sub(r"\\(.)", lambda m: escapes.get(m.group(1), m.group(1)), text[1:-1])
