"""The parser's tree -> operators, and what of the data they read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import promql_parser

from rollbackd.model.labels import METRIC_NAME, Labels
from rollbackd.promql.aggregations import AGGREGATIONS, Aggregate, CountValues, Grouping, Quantile, TopK
from rollbackd.promql.binary import (
    ARITHMETIC,
    COMPARISONS,
    SETS,
    ManyToOne,
    Matching,
    Negated,
    NegatedScalar,
    OneToOne,
    Operation,
    ScalarBinary,
    SetBinary,
    VectorScalar,
)
from rollbackd.promql.calls import build_call
from rollbackd.promql.errors import PromqlError
from rollbackd.promql.lexer import Kind, Token
from rollbackd.promql.matchers import Matcher, MatchOp, Selector
from rollbackd.promql.operators import Context, Literal, Scalar, Text, Vector, Windows
from rollbackd.promql.parsing import parse
from rollbackd.promql.selection import (
    MAX_SUBQUERY_STEPS,
    InstantSelector,
    RangeSelector,
    Subquery,
    When,
)
from rollbackd.promql.series import LOOKBACK_MS
from rollbackd.promql.store import Store
from rollbackd.promql.values import Element
