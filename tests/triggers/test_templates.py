"""Templates give what Prometheus gives, and refuse what they do not support."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollbackd.triggers.templates import Fill, TemplateError, parse_template
from tests.promql.oracle import promtool

VALUES = (
    "0", "1", "-2.5", "0.15", "1234.5678", "1000000", "123456789", "1e21", "1e-5", "0.0001234",
    "59.9", "61", "3661", "90061", "-3661", "0.0015", "1048576", "1e-20", "Inf", "-Inf", "999.96",
)  # fmt: skip
TEMPLATES = (
    "{{ $value }}", "{{ .Value }}", "{{ humanize $value }}", "{{ $value | humanize1024 }}",
    "{{ humanizePercentage $value }}", "{{ humanizeDuration $value }}",
    '{{ printf "%.2f" $value }}', '{{ $value | printf "%.3e and 100%%" }}',
    '{{ printf "%g" $value }}',
    '{{ printf "%s in %q: %v" $labels.job .Labels.zone $value }}', '{{ printf "%8.1f|" $value }}',
    "{{ $labels.job | toUpper }}-{{ toLower .Labels.zone }} {{ $labels.missing }}!",
    "a {{- $labels.job -}} b {{/* nothing */}} c", '{{ "quoted \\"text\\"" }} {{ `raw` | title }}',
    "{{ $externalLabels.cluster }}", "no action at all {", '{{ printf "%s" (humanize $value) }}',
)  # fmt: skip


def ask(folder: Path) -> dict[tuple[int, int], str]:
    """Prometheus's text of every template for every value, in one run."""
    rules = [
        {
            "alert": f"A{index}",
            "expr": f"x{{v='{position}'}}",
            "annotations": {"text": template},
        }
        for index, template in enumerate(TEMPLATES)
        for position in range(len(VALUES))
    ]
    (folder / "rules.yaml").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    series = [
        {"series": f'x{{v="{i}", job="api", zone="EU"}}', "values": v} for i, v in enumerate(VALUES)
    ]
    tests = [
        {"eval_time": "0s", "alertname": f"A{i}", "exp_alerts": []} for i in range(len(TEMPLATES))
    ]
    case = {"input_series": series, "alert_rule_test": tests, "external_labels": {"cluster": "c1"}}
    document = {"rule_files": ["rules.yaml"], "tests": [case]}
    (folder / "tests.yaml").write_text(json.dumps(document))
    run = subprocess.run(
        [promtool(), "test", "rules", "tests.yaml"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.findall(
        r'Labels:\{alertname="A(\d+)".*?v="(\d+)".*?Annotations:\{text=("(?:[^"\\]|\\.)*")\}',
        run.stderr + run.stdout,
        re.DOTALL,
    )
    return {(int(i), int(v)): json.loads(text) for i, v, text in found}


def test_every_text_is_prometheus_s(tmp_path: Path) -> None:
    """All templates with all values, letter by letter."""
    theirs = ask(tmp_path)
    assert len(theirs) == len(TEMPLATES) * len(VALUES)
    for (index, position), text in theirs.items():
        labels = {"__name__": "x", "v": str(position), "job": "api", "zone": "EU"}
        if "Duration" in TEMPLATES[index] and VALUES[position] == "1e21":
            continue  # Go's int64 overflows there; the number here is right
        fill = Fill(labels, float(VALUES[position]), {"cluster": "c1"})
        mine = parse_template(TEMPLATES[index]).render(fill)
        assert mine == text, (TEMPLATES[index], VALUES[position])


@pytest.mark.parametrize(
    ("text", "part", "message"),
    [
        ("x {{ $value", "{{", "never closed"),
        ("{{ range query `up` }}", "range", "not supported"),
        ("{{ if $value }}a{{ end }}", "if", "not supported"),
        ("{{ $vaule }}", "$vaule", "not known"),
        ("{{ .Foo.bar }}", ".Foo.bar", "not known"),
        ("{{ query `up` }}", "query", "not supported"),
        ('{{ printf "%d" $value }}', "printf", "verb `%d`"),
        ('{{ printf "%f" }}', "printf", "1 verbs for 0 values"),
        ("{{ printf }}", "printf", "needs a format"),
        ("{{ humanize }}", "humanize", "takes 1 argument"),
        ("{{ }}", " ", "a value is missing"),
        ("{{ $value | 3 }}", "3", "no function"),
        ("{{ $value $value }}", "$value }}", "not expected"),
        ("{{ (humanize $value }}", "(", "never closed"),
        ("{{ $x := 1 }}", ":", "not supported"),
        ("{{ humanize ( ) }}", ")", "not supported"),
        ("{{ [ }}", "[", "not supported"),
    ],
)
def test_what_is_not_supported_is_refused(text: str, part: str, message: str) -> None:
    """At load, at its place; no template fails while it is needed."""
    with pytest.raises(TemplateError, match=re.escape(message)) as caught:
        parse_template(text)
    assert text[caught.value.start :].startswith(part)


def test_a_value_that_is_no_number_is_said() -> None:
    """As in Prometheus the text is the error."""
    text = parse_template("{{ humanize $labels.job }}").render(Fill({"job": "api"}, 1.0, {}))
    assert text.startswith("<error expanding template:")


PARTS = st.sampled_from(
    ["{{", "}}", "$value", "$labels.a", "|", "printf", '"%f"', "humanize", "(", ")", " ", "x", "-",
     "$", ".", '"', "`", "1.5", "\n", "/*", "*/", "é"]
)  # fmt: skip


@given(st.lists(PARTS, max_size=12).map("".join))
@settings(max_examples=800, deadline=None)
def test_random_templates_render_or_are_refused(text: str) -> None:
    """Nothing else comes out."""
    try:
        template = parse_template(text)
    except TemplateError as error:
        assert 0 <= error.start <= len(text)  # noqa: PT017
    else:
        assert isinstance(template.render(Fill({"a": "b"}, 1.5, {})), str)
