"""What became of each version that a TF Serving was told to load, asked over REST, which needs no TensorFlow.

`GET /v1/models/NAME/versions/N` says what ModelService's GetModelStatus does, whose messages import all of TensorFlow:
what starts servers, and what watches them for as long as they run, is spared that.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterable

from contract.endpoints import ServerRecord
from contract.errors import ServerError
from serving.places.ports import host_port
from serving.places.starting import place_of

LOAD_S = 180.0
# The original looks at its folders once a second, whatever it was told meanwhile: until then it knows no new version.
UNKNOWN_S = 10.0
ASK_S = 5.0  # of one question: a server that dies while it is asked must not be waited for
# Beside the states of ModelVersionStatus: of a version that it does not know, and what no answer is.
UNKNOWN, SILENT = "UNKNOWN_VERSION", "NO_ANSWER"


class TfServingState:
    """One server. What it does not do within ``load_s``, or does not know for ``unknown_s``, is a ServerError."""

    def __init__(self, server: ServerRecord, load_s: float = LOAD_S, unknown_s: float = UNKNOWN_S) -> None:
        self._server = server
        self._load_s = load_s
        self._unknown_s = unknown_s

    @property
    def _address(self) -> str:
        return host_port(self._server.host, self._server.ports["rest"])

    def wait_for(self, versions: Iterable[tuple[str, int]]) -> None:
        """Wait until each (model, version) is available: ports open when one version of each model is, whichever."""
        for name, version in versions:
            self.wait(name, version)

    def wait(self, name: str, version: int, available: bool = True) -> None:
        """Wait until the version is available, or is not.

        Raises ServerError with the reason when its load fails, and at once where the server is gone.
        """
        began = time.monotonic()
        words = ""
        while (waited := time.monotonic() - began) < self._load_s:
            state, words = self._state(name, version)
            if state == SILENT:
                if not place_of(self._server).alive(self._server):
                    raise ServerError(f"TF Serving at {self._address} is gone, asked for {name} version {version}")
            elif (state == "AVAILABLE") == available:
                return
            elif state == "END" and words:  # without an error it is the end of an earlier life
                raise ServerError(f"TF Serving could not load it: {words}")
            elif state == UNKNOWN and waited > self._unknown_s:
                raise ServerError(f"TF Serving at {self._address} has no {name} version {version}: {words}")
            time.sleep(0.1)
        what = "load" if available else "let go of"
        said = f": {words}" if words else ""
        raise ServerError(f"TF Serving did not {what} {name} version {version} within {self._load_s:.0f} s{said}")

    def _state(self, name: str, version: int) -> tuple[str, str]:
        """The state of a version, and what it failed of: empty where it did not."""
        connection = http.client.HTTPConnection(self._server.host, self._server.ports["rest"], timeout=ASK_S)
        try:
            connection.request("GET", f"/v1/models/{name}/versions/{version}")
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return SILENT, f"it does not answer ({error})"
        finally:
            connection.close()
        if response.status not in (200, 404):
            return SILENT, f"it answers HTTP {response.status}: {text.strip()}"
        try:
            answer = json.loads(text)
            if response.status == 404:
                return UNKNOWN, str(answer["error"])
            (found,) = answer["model_version_status"]
            status = found["status"]
            failure = status["error_message"] or found["state"] if status["error_code"] != "OK" else ""
            return str(found["state"]), str(failure)
        except (ValueError, KeyError, TypeError):
            return SILENT, f"it answers what no TF Serving does: {text.strip()[:200]}"
