"""The Status bodies of a Kubernetes API server that refuses.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ and the constructors
in k8s.io/apimachinery, pkg/api/errors/errors.go.
"""

import re
from typing import Any, Final

Object = dict[str, Any]

_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?\Z")


class RefusalError(Exception):
    """An answer that is no success, as the API says it."""

    def __init__(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            **({"details": details} if details else {}),
            "code": code,
        }


def validate(plural: str, name: str, patched: Object) -> None:
    """Refuse a selector whose values are no label values, as the API's validation does."""
    if plural != "services":
        return
    for key, value in (patched["spec"].get("selector") or {}).items():
        if not isinstance(value, str) or not _LABEL_VALUE.match(value):
            said = f"a valid label must be an empty string or consist of ... (was {value!r})"
            raise RefusalError(
                422,
                "Invalid",
                f'Service "{name}" is invalid: spec.selector: Invalid value: "{value}": {said}',
                {
                    "name": name,
                    "kind": "Service",
                    "causes": [
                        {
                            "reason": "FieldValueInvalid",
                            "message": f'Invalid value: "{value}": {said}',
                            "field": f"spec.selector.{key}",
                        }
                    ],
                },
            )


def not_found(group: str, plural: str, name: str) -> RefusalError:
    """404."""
    qualified = f"{plural}.{group}" if group else plural
    details = {"name": name, "group": group, "kind": plural}
    return RefusalError(404, "NotFound", f'{qualified} "{name}" not found', details)


def conflict(group: str, plural: str, name: str) -> RefusalError:
    """409, in the words of optimistic concurrency."""
    qualified = f"{plural}.{group}" if group else plural
    message = (
        f'Operation cannot be fulfilled on {qualified} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return RefusalError(409, "Conflict", message, {"name": name, "group": group, "kind": plural})
