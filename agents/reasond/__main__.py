"""Lets `python -m reasond` stand for the `reasond` command."""

from reasond.cli import main

if __name__ == "__main__":
    main()
