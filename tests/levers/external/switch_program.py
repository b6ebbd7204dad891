"""A program of an operator: a switch kept in a JSON file. It counts how often it was moved.

`get`, `set TARGET NOTE`, `show TARGET`; the file is `$SWITCH`, and nothing is done without `$KEY`.
"""

import json
import os
import sys
from pathlib import Path


def main() -> None:
    path = Path(os.environ["SWITCH"])
    if os.environ.get("KEY") != "hunter2-exec":
        sys.exit("no key")
    state = json.loads(path.read_text())
    verb, *rest = sys.argv[1:]
    if verb == "get":
        print(json.dumps({"target": state["target"]}))  # noqa: T201
    elif verb == "show":
        servers = state["servers"].get(rest[0])
        print(json.dumps({} if servers is None else {"servers": servers}))  # noqa: T201
    else:
        state |= {"target": rest[0], "note": rest[1], "moves": state["moves"] + 1}
        written = path.with_suffix(".new")
        written.write_text(json.dumps(state))
        written.replace(path)


if __name__ == "__main__":
    main()
