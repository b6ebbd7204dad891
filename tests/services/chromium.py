"""A headless Chromium: what a page looks like, and what a script finds on it."""

import json
import re
import struct
import subprocess
from html import unescape
from pathlib import Path
from typing import Any, Final

_SECONDS: Final = 60
_DARK: Final = "--blink-settings=preferredColorScheme=0"


def screenshot(page: Path, *, width: int, height: int, dark: bool = False) -> tuple[int, int, int]:
    """Take a picture beside the page; its width, height and bytes."""
    picture = page.with_suffix(".png")
    _chromium(page, f"--screenshot={picture}", width=width, height=height, dark=dark)
    body = picture.read_bytes()
    assert body.startswith(b"\x89PNG")
    found_width, found_height = struct.unpack(">II", body[16:24])
    return found_width, found_height, len(body)


def measure(page: Path, script: str, *, width: int, dark: bool = False) -> Any:
    """What a JavaScript expression gives on a copy of the page, where scripts are allowed.

    Raises AssertionError when the page has no security policy of its own to take away.
    """
    text = page.read_text()
    free = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    assert free != text, "the page has no policy"
    probe = (
        f"<script>document.title = 'measured:' + JSON.stringify({script});</script></body></html>"
    )
    copy = page.with_name(f"measured-{page.name}")
    copy.write_text(free.replace("</body></html>", probe))
    dom = _chromium(copy, "--dump-dom", width=width, height=900, dark=dark)
    found = re.search(r"<title>measured:(.*?)</title>", dom, re.DOTALL)
    assert found is not None, "the script failed"
    return json.loads(unescape(found[1]))


def _chromium(page: Path, *arguments: str, width: int, height: int, dark: bool) -> str:
    profile = page.with_name("chromium-profile")
    done = subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
            *([_DARK] if dark else []),
            *arguments,
            page.absolute().as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=_SECONDS,
    )
    return done.stdout
