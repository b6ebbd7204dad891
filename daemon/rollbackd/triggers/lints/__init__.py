"""Warnings about rules that would be taken: pure, from the text alone, one lint a module."""

from rollbackd.triggers.lints.linter import lint_rules
from rollbackd.triggers.lints.subjects import LintOptions

__all__ = ["LintOptions", "lint_rules"]
