"""Lets `python -m rollbackd` start the command line."""

from rollbackd.cli.main import main

if __name__ == "__main__":
    main()
