"""One TF Serving has one setting for all its models: what is shown of each is what the server was told."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.batching import Batching, Queue
from contract.endpoints import Configuration, ServerRecord
from report import words
from serving import fleet
from serving.choice import Choice
from serving.engines.tensorflow_serving import launch
from serving.engines.tfserving_told import told
from serving.layout.repository import Served
from serving.layout.tfserving_config import THREADS, batching_config, unheard
from serving.proof import proving
from serving.proof.conditions import conditions
from tests.builders import config, model, served, server, workspace

FIRST = Batching(max_batch_size=8, max_queue_delay_us=100, threads=2, queue=Queue(max_size=20))
SECOND = Batching(max_batch_size=64, max_queue_delay_us=900, threads=4, instances=3, queue=Queue(timeout_us=9))


def started(tmp_path: Path, batching: bool = True) -> ServerRecord:
    """A TF Serving that was started for the first model, with the files that it was started with."""
    place = workspace(tmp_path)
    place.tfserving_repository.mkdir(parents=True)
    (place.tfserving_repository / "batching.config").write_text(batching_config(FIRST, 6))
    made = launch(place, "embedded", FIRST.threads, batching)
    return server(engine="tfserving", engine_kind="embedded", command=made.command, ports=made.ports)


def second(tmp_path: Path) -> Served:
    """A model of the same server, of which models.toml says something else."""
    return served(workspace(tmp_path), "other", "tfserving", format="savedmodel", model=model(batching=SECOND))


def test_every_model_of_a_server_is_shown_with_what_the_server_was_told(tmp_path: Path) -> None:
    record = started(tmp_path)
    item = second(tmp_path)
    found = proving.configuration(item, record)
    assert found == Configuration(
        max_batch_size=8,
        max_queue_delay_us=100,
        instances=1,
        threads=2,
        ragged=False,
        length_buckets=[],
        preferred_batch_sizes=[],
        queue_max_size=24,  # three batches of 8: TF Serving counts in batches
        queue_timeout_us=0,
        batch_threads=6,
        inter_op_threads=0,
    )
    assert words.configuration(found).endswith("1 instance, 2 threads, at most 24 waiting, 6 batch threads")
    sheet = conditions(config(), item, record, native=False)
    assert (sheet["intra-op threads"], sheet["instances"]) == ("2", "1")
    assert sheet["batching"] == "up to 8, waits 100 µs, 6 at a time"
    assert sheet["queue"] == "at most 3 batches"


def test_tritons_inter_op_threads_are_not_said_of_tf_serving(tmp_path: Path) -> None:
    item = second(tmp_path)
    item = served(
        workspace(tmp_path),
        "other",
        "tfserving",
        format="savedmodel",
        model=item.model.model_copy(update={"triton": item.model.triton.model_copy(update={"inter_op_threads": 7})}),
    )
    assert conditions(config(), item, started(tmp_path), native=False)["inter-op threads"] == "library's default"


def test_where_requests_are_not_joined_nothing_waits(tmp_path: Path) -> None:
    record = started(tmp_path, batching=False)
    sheet = conditions(config(), second(tmp_path), record, native=False)
    assert (sheet["batching"], sheet["queue"]) == ("off", "none: each request runs as it came")
    found = proving.configuration(second(tmp_path), record)
    assert words.configuration(found) == "no batching, 1 instance, 2 threads"


def test_a_server_at_an_address_tells_nothing(tmp_path: Path) -> None:
    record = server(engine="tfserving", place="url", command=[], ports={"rest": 8501, "grpc": 8500})
    assert told(record) is None
    assert words.configuration(proving.configuration(second(tmp_path), record)) == "not known"
    sheet = conditions(config(), second(tmp_path), record, native=True)
    assert {sheet[name] for name in ("intra-op threads", "batching", "queue", "instances")} == {"not known"}


def test_models_that_say_something_else_than_the_first_are_warned_of() -> None:
    (sentence,) = unheard({"words": FIRST, "images": FIRST, "other": SECOND}, joins=True)
    assert sentence.startswith(
        "TF Serving has one setting for all its models, that of words: other runs with threads 2"
    )
    assert "max_batch_size 8 instead of 64, max_queue_delay_us 100 instead of 900" in sentence


def test_the_warning_is_said_where_the_server_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fleet, "start", lambda make, *_: (make(), 0.0))
    first = served(workspace(tmp_path), "words", "tfserving", format="savedmodel", model=model(batching=FIRST))
    items = [first, second(tmp_path)]
    made, _ = fleet._start_tfserving(config(), items, workspace(tmp_path), Choice(tfserving="embedded"))
    assert f"{THREADS}2" in made.command
    assert "warning: TF Serving has one setting for all its models, that of words" in capsys.readouterr().err
    fleet._start_tfserving(config(), [first], workspace(tmp_path), Choice(tfserving="embedded"))
    assert "one setting" not in capsys.readouterr().err


@pytest.mark.parametrize("models", [{}, {"words": FIRST}, {"words": FIRST, "images": FIRST}])
def test_models_that_agree_need_no_warning(models: dict[str, Batching]) -> None:
    assert unheard(models, joins=True) == []


def test_what_does_not_reach_the_server_is_not_warned_of() -> None:
    calm = Batching(threads=FIRST.threads, instances=9)
    assert unheard({"words": FIRST, "other": calm}, joins=False) == []
