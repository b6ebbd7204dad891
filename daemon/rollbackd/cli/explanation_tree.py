"""An explanation as a page: the verdict, the instances, and the expression as a tree of values."""

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text
from rich.tree import Tree

from rollbackd.cli.phrases import moment, span
from rollbackd.documents.durations import format_duration
from rollbackd.documents.numbers import told_apart
from rollbackd.model.explanations import (
    ExplainedInstance,
    ExplainedNode,
    ExplainedSeries,
    Number,
    RuleExplanation,
)
from rollbackd.model.labels import METRIC_NAME, format_labels
from rollbackd.model.triggers import RuleState

_DIGITS = 6
_STYLES = {RuleState.FIRING: "bold red", RuleState.PENDING: "bold yellow"}


def page(found: RuleExplanation) -> RenderableType:
    """The whole page of one rule."""
    parts: list[RenderableType] = [_head(found)]
    parts += [Padding(Text(sentence), (0, 0, 0, 2)) for sentence in found.because]
    parts += [Padding(Text(f"note: {n}", style="yellow"), (0, 0, 0, 2)) for n in found.notes]
    parts += [Padding(_instance(i, found), (0, 0, 0, 2)) for i in found.instances]
    tree = Tree(_label(found.tree), guide_style="dim")
    _grow(tree, found.tree, found.at_ms)
    return Group(*parts, Text(), Padding(tree, (0, 0, 0, 2)), Text())


def _head(found: RuleExplanation) -> Text:
    text = Text.assemble((found.rule, "bold"), (f"  {found.group}", "dim"))
    if found.scope:
        text.append(f"  {found.scope}")
    if found.state is not None:
        text.append(f"  {found.state}", style=_STYLES.get(found.state, "bold"))
    text.append(f"  at {moment(found.at_ms)}", style="dim")
    for name, length in (("for", found.for_ms), ("keep_firing_for", found.keep_firing_for_ms)):
        if length:
            text.append(f"  {name} {format_duration(length)}", style="dim")
    return text


def _instance(instance: ExplainedInstance, found: RuleExplanation) -> Text:
    labels = {k: v for k, v in instance.labels.items() if k != "alertname"}
    text = Text.assemble(
        (instance.state, _STYLES.get(instance.state, "")),
        f"  {format_labels(labels.items())}  value {_number(instance.value)}",
        (f"  active since {moment(instance.active_at_ms)}", "dim"),
    )
    if instance.fires_at_ms is not None and found.for_ms:
        text.append(f"  {span(instance.held_ms)} of {format_duration(found.for_ms)}")
    if instance.fired_at_ms is not None:
        text.append(f"  fired {moment(instance.fired_at_ms)}", style="dim")
    if instance.event_time_ms is not None:
        age = span(found.at_ms - instance.event_time_ms)
        text.append(f"  newest sample {age} old", style="dim")
    return text


def _grow(tree: Tree, node: ExplainedNode, at_ms: int, beside: Number | None = None) -> None:
    """Add what is below a part whose values are compared with `beside`, if with anything."""
    bound = node.bound if node.bound is not None else beside
    for line in _lines(node, at_ms, bound):
        tree.add(line)
    for child in node.children:
        _grow(tree.add(_label(child)), child, at_ms, node.bound)


def _label(node: ExplainedNode) -> Text:
    text = Text(node.gist, style="bold")
    if node.error:
        text.append(f"  {node.error}", style="red")
    elif node.kind == "scalar" and node.elements:
        text.append(f"  {_number(node.elements[0].value)}", style="cyan")
    elif node.kind == "vector" and not node.total:
        text.append("  no elements", style="yellow")
    elif node.kind == "vector" and not node.here:
        text.append("  none for this scope", style="yellow")
    return text


def _lines(node: ExplainedNode, at_ms: int, bound: Number | None) -> list[Text]:
    """The series of a selector, or the elements of anything else."""
    if node.series_total:
        shown = [_series(each, at_ms, bound) for each in node.series]
        return [*shown, *_more(node.series_total - len(shown))]
    if node.silent_since_ms is not None:
        return [Text(f"no series since {moment(node.silent_since_ms)}", style="yellow")]
    if node.kind != "vector":
        return [] if node.kind == "scalar" or node.children else [Text("no series", style="yellow")]
    shown = [
        _valued(each.labels, _number(each.value, bound), dim=place >= node.here)
        for place, each in enumerate(node.elements)
    ]
    return [*shown, *_more(node.total - len(shown))]


def _valued(labels: Mapping[str, str], value: str, *, dim: bool) -> Text:
    bare = {k: v for k, v in labels.items() if k != METRIC_NAME}
    text = Text.assemble((value, "cyan"), f"  {format_labels(bare.items())}")
    if dim:
        text.stylize("dim")
    return text


def _series(series: ExplainedSeries, at_ms: int, bound: Number | None) -> Text:
    text = Text(style="" if series.samples else "dim")
    if series.value is not None:
        text.append(_number(series.value, bound), style="cyan")
        text.append("  ")
    text.append(format_labels(series.labels.items()))
    if series.held:
        text.append("  holds", style="dim")
        return text
    noun = "sample" if series.samples == 1 else "samples"
    text.append(f"  {series.samples} {noun}", style="dim")
    if series.newest_ms is not None:
        text.append(f", newest {span(at_ms - series.newest_ms)} old", style="dim")
    return text


def _more(rest: int) -> list[Text]:
    return [Text(f"... and {rest} more", style="dim")] if rest > 0 else []


def _number(value: Number, beside: Number | None = None) -> str:
    """Six digits, or as many as tell it from the bound that it is compared with."""
    if isinstance(value, str):
        return value
    if isinstance(beside, str) or beside is None:
        return f"{value:.{_DIGITS}g}"
    return told_apart(value, beside, digits=_DIGITS)
