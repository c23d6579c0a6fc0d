"""What else a TF Serving that somebody else runs has loaded: what it does not find in a new configuration it unloads.

It takes its configuration whole, and no call of its API lists what it has. Its metrics page does, by path: the original
counts the loads of each, the embedded server their warm-ups.
"""

from __future__ import annotations

import http.client
import re
from pathlib import Path

from contract.endpoints import ServerRecord
from contract.errors import UsageError
from serving.layout.tfserving_config import METRICS, MODELS_CONFIG, MONITORING_CONFIG
from serving.places.ports import host_port

LOADED = re.compile(r'[{,]model_path="([^"]+)"')
TIMEOUT_S = 30.0
NAMED = 3  # of the neighbours, in a sentence


def insist_on_ours_alone(server: ServerRecord, tree: Path, said: bool) -> None:
    """Raise UsageError where a configuration of the models in ``tree`` could take others away from the server.

    ``said``: whether somebody gave their word that it has ours alone, without which it is left as it is: what it is
    configured to serve and never tried to load nobody can see. One that we started has ours alone and is not asked.
    """
    if server.place != "url":
        return
    address = host_port(server.host, server.ports["rest"])
    loaded = _loaded(_page(address))
    if not loaded:
        raise UsageError(
            f"TF Serving at {address} does not tell what it has loaded, and would unload what is not ours; start it "
            f"with {tree / MODELS_CONFIG} and --monitoring_config_file={tree / MONITORING_CONFIG}"
        )
    others = neighbours(loaded, tree)
    if others:
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        raise UsageError(
            f"TF Serving at {address} has loaded {', '.join(others[:NAMED])}{more} since it was started, which is not "
            f"ours and which it would unload; have this done where it is run, or start one with "
            f"{tree / MODELS_CONFIG} alone"
        )
    if not said:
        raise UsageError(
            f"TF Serving at {address} would unload what is in its configuration and not in {tree / MODELS_CONFIG}; a "
            "model that it never loaded cannot be seen from here, so where it has these alone, say so: "
            "'python -m serving roll' and 'python -m serving reload' take --tfserving-ours"
        )


def neighbours(loaded: set[str], tree: Path) -> list[str]:
    """Those paths of versions that are not below ``tree``."""
    ours = tree.resolve()
    return sorted(path for path in loaded if not Path(path).resolve().is_relative_to(ours))


def _loaded(page: str) -> set[str]:
    """The paths of the versions that a metrics page names."""
    return set(LOADED.findall(page))


def _page(address: str) -> str:
    """The metrics page; empty where there is none."""
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    try:
        connection.request("GET", METRICS)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()
    return text if response.status == 200 else ""
