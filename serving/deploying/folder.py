"""The folder of a generated overlay: written whole or not at all, and never over what somebody else wrote.

Beside the overlay's files lies their list, as `sha256sum -c` reads it: what is not in it, or not as it says, is a
person's, and is not replaced.
"""

from __future__ import annotations

import tempfile
from hashlib import sha256
from pathlib import Path

from contract.errors import UsageError
from contract.files import sha256_file, write_text

LIST = "GENERATED.sha256"
SHOWN = 3  # names in a sentence


def write(folder: Path, files: dict[str, str]) -> None:
    """Put the overlay there, in the place of an earlier one.

    Raises UsageError where something else is there, and where the folder cannot be read or written.
    """
    try:
        foreign = _foreign(folder)
        if foreign:
            more = f" and {len(foreign) - SHOWN} more" if len(foreign) > SHOWN else ""
            raise UsageError(
                f"{folder} holds what this command did not write so: {', '.join(foreign[:SHOWN])}{more}; keep that "
                "elsewhere, as an overlay of this one, and remove the folder, or name another with --out"
            )
        _replace(folder, files)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{folder} cannot be written ({error}); name another folder with --out") from None


def _replace(folder: Path, files: dict[str, str]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own for each run: two of them at once must not write into each other's.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as work:
        fresh, old = Path(work) / "new", Path(work) / "old"
        for name, text in files.items():
            write_text(fresh / name, text)
        sums = {name: sha256(text.encode()).hexdigest() for name, text in files.items()}
        write_text(fresh / LIST, "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))
        if folder.exists():
            folder.rename(old)
        try:
            fresh.rename(folder)
        except OSError:
            if old.exists() and not folder.exists():
                old.rename(folder)
            raise


def _foreign(folder: Path) -> list[str]:
    """What is there and was not written by this command, or not like this: paths within the folder."""
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise NotADirectoryError("it is no folder")
    listed = _listed(folder / LIST)
    there = [item for item in folder.rglob("*") if item.is_symlink() or item.is_file()]
    return sorted(
        name
        for item in there
        # Summed only where listed: a large folder that was named by mistake is not read.
        if (name := item.relative_to(folder).as_posix()) != LIST
        and (item.is_symlink() or name not in listed or sha256_file(item) != listed[name])
    )


def _listed(file: Path) -> dict[str, str]:
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
