"""Which exports of a model are served: the newest that its policy lets be, and the older ones beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contract.errors import UsageError
from contract.files import read_model
from contract.manifest import MANIFEST, FormatRecord, Manifest, read_newest, versions_of
from serving.layout.signature import alike, in_words
from serving.layout.version_policy import Listed, VersionPolicy


@dataclass(frozen=True)
class Exports:
    """The exports of one model, and which of them an engine is to serve.

    ``folder`` is ``artifacts/<model>``, ``key`` the key of models.toml that the policy comes from.
    """

    folder: Path
    policy: VersionPolicy
    key: str

    def newest(self) -> int:
        """The version that endpoints name. Raises UsageError where a listed one, or any at all, is not there."""
        exported = versions_of(self.folder)
        if not exported:
            read_newest(self.folder)  # says so
        if missing := self.policy.missing(exported):
            raise UsageError(
                f"{self.key} lists version {missing[0]}, of which {self.folder} holds no complete export (there are "
                f"{', '.join(map(str, exported))}); take it out of the list, or put that export back"
            )
        return self.policy.candidates(exported)[-1]

    def read(self, version: int) -> Manifest:
        return read_model(self.folder / str(version) / MANIFEST, Manifest, "make export")

    def older(self, newest: Manifest, form: str) -> list[tuple[Path, Manifest, FormatRecord]]:
        """What is served of one format beside the newest, newest first: proven, and of the same signature.

        One config.pbtxt describes all versions of a model on Triton, so that another signature cannot be served beside
        this one; clients of TF Serving would find it as hard to tell them apart. Each with its folder and the format's
        record. Raises UsageError for a listed version that is not so; another is passed over.
        """
        found = {
            manifest.version: (self.folder / str(manifest.version), manifest, manifest.formats[form])
            for manifest in self._before(newest)
            if self._may_stand_beside(newest, manifest, form)
        }
        kept = self.policy.kept([*found, newest.version])
        return [found[version] for version in reversed(kept) if version in found]

    def _before(self, newest: Manifest) -> Iterator[Manifest]:
        candidates = self.policy.candidates(versions_of(self.folder))
        return (self.read(version) for version in candidates if version < newest.version)

    def _may_stand_beside(self, newest: Manifest, older: Manifest, form: str) -> bool:
        why = _not_beside(newest, older, form)
        if why and isinstance(self.policy, Listed):
            raise UsageError(f"{self.key} lists version {older.version}, {why}; take it out of the list")
        return why is None


def _not_beside(newest: Manifest, older: Manifest, form: str) -> str | None:
    """Why an older export is not served beside the newest, as the end of a sentence; None where it may be."""
    for what, its, served in (
        ("inputs", older.inputs, newest.inputs),
        ("outputs", older.outputs, newest.outputs),
    ):
        if not alike(its, served):
            return (
                f"whose {what} are {in_words(its)} instead of {in_words(served)} as those of version {newest.version}"
            )
    record = older.formats.get(form)
    if record is None or not record.ok or not record.path:
        status = record.status if record else "it was not exported"
        return f"which has no proven export as {form} ({status})"
    return None
