"""Where a page is written to."""

import os
import tempfile
from pathlib import Path

from reasond.errors import InputError

MODE = 0o644
"""A page holds reasons and figures, no secret; the temporary file of its making is closed to others."""


def write(path: Path, text: str) -> None:
    """Write a page as a whole or not at all. Raises InputError saying why it can't be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=str(path.parent), delete=False) as file:
            file.write(text)
        _put(file.name, path)
    except OSError as err:
        raise InputError(f"can't write {path}: {err.strerror}") from err


def _put(made: str, path: Path) -> None:
    try:
        os.chmod(made, MODE)
        os.replace(made, str(path))
    except OSError:
        os.unlink(made)
        raise
