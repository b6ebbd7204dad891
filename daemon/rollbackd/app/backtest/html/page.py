"""x."""


def page(findings, scored):  # type: ignore
    return ""
