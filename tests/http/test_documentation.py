"""docs/http-api.md is held to what is served."""

import re
from pathlib import Path

from rollbackd.http import HttpServer

DOCS = Path(__file__).parents[2] / "docs"
_ROW = re.compile(r"^\| ([A-Z]+) \| `([^`]+)` \| (\w+) \|", re.MULTILINE)


def test_the_table_lists_every_endpoint_with_its_permission(server: HttpServer) -> None:
    written = {(method, path): p for method, path, p in _ROW.findall(_page("http-api.md"))}
    served = {
        (method, endpoint.path): str(endpoint.permission or "public")
        for endpoint in server.endpoints
        for method in endpoint.methods
        if method != "HEAD"
    }
    assert written == served


def test_links_between_pages_lead_somewhere() -> None:
    for name in ("http-api.md", "security.md"):
        for link in re.findall(r"\]\(([^)#]+)", _page(name)):
            assert (DOCS / link).exists(), link


def _page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")
