"""What an interpreter calls when it starts, where `tallyboard.start` names this (from 3.15 on, PEP 829);
`tallyboard.pth` beside it does the same for older ones. Both find nothing to do without TALLYBOARD."""

from __future__ import annotations

import importlib
import os


def start() -> None:
    """Has what is imported from now on patched, in a process that has a supervisor to count for."""
    if os.environ.get("TALLYBOARD"):
        # Now, and not at the first use, under lazy imports too.
        importlib.import_module("tallyboard._hook")
