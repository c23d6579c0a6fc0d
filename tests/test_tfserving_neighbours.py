"""Whether a TF Serving that somebody else runs has anything but ours, by what its metrics page names."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from contract.errors import UsageError
from serving.engines.tfserving_neighbours import insist_on_ours_alone, neighbours
from tests.builders import free_port, server

# As the original writes it; the embedded server has no load_attempt_count, but a warm-up of every version.
ORIGINAL = """# TYPE :tensorflow:cc:saved_model:load_attempt_count counter
:tensorflow:cc:saved_model:load_attempt_count{{model_path="{path}",status="success"}} 1
# TYPE :tensorflow:cc:saved_model:load_latency counter
:tensorflow:cc:saved_model:load_latency{{model_path="{path}"}} 92215
"""
EMBEDDED = """# TYPE :tensorflow:serving:model_warmup_latency histogram
:tensorflow:serving:model_warmup_latency_bucket{{model_path="{path}",status="OK",le="10"}} 1
"""
SILENT = "# TYPE :tensorflow:cc:saved_model:load_attempt_count counter\n"


@contextmanager
def telling(page: str, status: int = 200) -> Iterator[int]:
    """The port of a server whose metrics page this is."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = status if self.path == "/monitoring/prometheus/metrics" else 404
            self.send_response(found)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield listening.server_port
        finally:
            listening.shutdown()
            thread.join()


def insist(tree: Path, rest: int, place: str = "url", said: bool = True) -> None:
    insist_on_ours_alone(server(engine="tfserving", place=place, ports={"rest": rest, "grpc": 1}), tree, said)


@pytest.mark.parametrize("engine", [ORIGINAL, EMBEDDED], ids=["original", "embedded"])
def test_a_server_that_has_loaded_ours_alone_may_be_given_our_configuration(tmp_path: Path, engine: str) -> None:
    with telling(engine.format(path=tmp_path / "keras" / "1")) as port:
        insist(tmp_path, port)


@pytest.mark.parametrize("engine", [ORIGINAL, EMBEDDED], ids=["original", "embedded"])
def test_one_that_has_loaded_another_is_left_as_it_is_and_the_other_is_named(tmp_path: Path, engine: str) -> None:
    page = engine.format(path=tmp_path / "keras" / "1") + engine.format(path="/models/theirs/7")
    with telling(page) as port, pytest.raises(UsageError, match=r"has loaded /models/theirs/7 since") as refused:
        insist(tmp_path, port)
    assert str(tmp_path / "models.config") in str(refused.value)  # what to start one with


@pytest.mark.parametrize(("page", "status"), [(SILENT, 200), ("", 200), (ORIGINAL.format(path="/m/1"), 404)])
def test_one_that_tells_nothing_is_left_as_it_is_with_what_makes_it_tell(
    tmp_path: Path, page: str, status: int
) -> None:
    with telling(page, status) as port, pytest.raises(UsageError, match=r"does not tell .*--monitoring_config_file="):
        insist(tmp_path, port)


def test_one_that_does_not_answer_tells_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not tell"):
        insist(tmp_path, free_port())


def test_one_that_we_started_is_not_asked(tmp_path: Path) -> None:
    insist(tmp_path, free_port(), place="process", said=False)


def test_one_that_seems_to_have_ours_alone_is_left_as_it_is_until_somebody_says_so(tmp_path: Path) -> None:
    """What it was configured with and never tried to load is on no page."""
    page = ORIGINAL.format(path=tmp_path / "keras" / "1")
    with telling(page) as port, pytest.raises(UsageError, match=r"'python -m serving roll' .*--tfserving-ours"):
        insist(tmp_path, port, said=False)


def test_no_word_is_asked_for_where_others_are_seen(tmp_path: Path) -> None:
    page = ORIGINAL.format(path=tmp_path / "keras" / "1") + ORIGINAL.format(path="/models/theirs/7")
    with telling(page) as port, pytest.raises(UsageError, match=r"has loaded /models/theirs/7 since") as refused:
        insist(tmp_path, port, said=False)
    assert "--tfserving-ours" not in str(refused.value)


def test_of_many_neighbours_three_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    page = "".join(ORIGINAL.format(path=f"/models/theirs/{version}") for version in range(1, 6))
    with telling(page) as port, pytest.raises(UsageError, match=r"/theirs/1, /models/theirs/2, \S+/3 and 2 more"):
        insist(tmp_path, port)


def test_a_folder_whose_name_begins_like_ours_is_a_neighbour_and_a_link_to_ours_is_none(tmp_path: Path) -> None:
    tree, link = tmp_path / "tfserving", tmp_path / "link"
    tree.mkdir()
    link.symlink_to(tree)
    beside = f"{tree}_old/keras/1"
    assert neighbours({beside, str(link / "keras" / "1"), str(tree / "keras" / "2")}, tree) == [beside]
