"""What this importer refuses, said before anything is built."""

from __future__ import annotations


class UnsupportedOperators(ValueError):
    """The graph holds operators, or uses of them, that the importer does not know; the text names all of them."""
