"""The certificates of one run: what the load generator can do, beside the records that it writes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from contract.certificate import Certificates
from contract.config import ModelsFile
from contract.endpoints import Endpoint, Endpoints
from contract.files import write_json
from contract.workspace import Workspace
from loadtest.certification.store import certificates_for
from loadtest.master.residency import Residency

NAME = "certificate.json"


def certify_run(
    config: ModelsFile,
    workspace: Workspace,
    endpoints: Endpoints,
    chosen: Sequence[Endpoint],
    results: Path,
    most_users: int | None = None,
) -> Certificates:
    """Write what holds for the load generator in a run of ``chosen``; what is not known yet is measured.

    ``most_users`` are those of the run's largest closed loop, by default of [load]. What cannot be certified is said
    and left out.
    """
    with closing(Residency(endpoints)) as residency:
        found = certificates_for(chosen, workspace, config, residency.make_room_for, most_users, lenient=True)
    write_json(results / NAME, found)
    return found
