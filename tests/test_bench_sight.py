"""What a generator saw: read from perf_analyzer's own text, and made of our records and the server's counters."""

from __future__ import annotations

import numpy as np
import pytest

from bench.generators.sight import Sight, of_perf_analyzer, of_records
from contract.errors import ServerError
from contract.records import ServerCounters

# perf_analyzer of tritonclient 2.44.0 at a request rate, against Triton 2.51.
HTTP = """ Successfully read data for 1 stream/streams with 1 step/steps.
*** Measurement Settings ***
  Batch size: 1
  Service Kind: Triton
  Using "time_windows" mode for stabilization
  Measurement window: 1000 msec
  Latency limit: 0 msec
  Request Rate limit: 300 requests per seconds
  Using uniform distribution on request generation
  Using synchronous calls for inference
  Stabilizing using average latency

Request Rate: 300 inference requests per seconds
  Client: 
    Request count: 1080
    Throughput: 299.698 infer/sec
    Avg latency: 879 usec (standard deviation 452 usec)
    p50 latency: 769 usec
    p90 latency: 1230 usec
    p95 latency: 1518 usec
    p99 latency: 2639 usec
    Avg HTTP time: 869 usec (send/recv 68 usec + response wait 801 usec)
  Server: 
    Inference count: 1080
    Execution count: 1078
    Successful request count: 1080
    Avg request latency: 547 usec (overhead 2 usec + queue 230 usec + compute input 16 usec + compute infer 257 usec + compute output 42 usec)

Inferences/Second vs. Client Average Batch Latency
Request Rate: 300, throughput: 299.698 infer/sec, latency 879 usec
"""  # noqa: W291, E501 (as it is printed)
GRPC = """Request Rate: 300 inference requests per seconds
  Client: 
    Request count: 1056
    Throughput: 293.052 infer/sec
    Avg latency: 1192 usec (standard deviation 3046 usec)
    p50 latency: 695 usec
    p90 latency: 1351 usec
    p95 latency: 3083 usec
    p99 latency: 8131 usec
    Avg gRPC time: 1173 usec ((un)marshal request/response 13 usec + response wait 1160 usec)
  Server: 
    Inference count: 1056
    Execution count: 1034
    Successful request count: 1056
    Avg request latency: 640 usec (overhead 2 usec + queue 217 usec + compute input 16 usec + compute infer 305 usec + compute output 99 usec)

Inferences/Second vs. Client Average Batch Latency
Request Rate: 300, throughput: 293.052 infer/sec, latency 1192 usec
"""  # noqa: W291, E501


@pytest.mark.parametrize(
    ("protocol", "said", "wanted"),
    [
        ("http", HTTP, Sight({"p50": 0.769, "p90": 1.23, "p99": 2.639}, 879.0, 801.0, 68.0, 545.0)),
        ("grpc", GRPC, Sight({"p50": 0.695, "p90": 1.351, "p99": 8.131}, 1192.0, 1160.0, 13.0, 637.0)),
    ],
)
def test_what_perf_analyzer_saw_is_read_from_what_it_prints(protocol: str, said: str, wanted: Sight) -> None:
    assert of_perf_analyzer(said, protocol) == wanted
    assert wanted.server_us is not None and wanted.rest_us == wanted.latency_us - wanted.server_us


def test_a_server_that_perf_analyzer_was_told_nothing_by_leaves_no_rest() -> None:
    alone = of_perf_analyzer(HTTP[: HTTP.index("  Server:")], "http")
    assert (alone.latency_us, alone.server_us, alone.rest_us) == (879.0, None, None)


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        ("http", "it was too slow"),
        ("http", GRPC),  # the split of another protocol
        ("http", HTTP.replace("p99 latency", "p98 latency")),
        ("http", HTTP.replace("Avg latency", "Some latency")),
        ("grpc", GRPC.replace(" + response wait 1160 usec", "")),
    ],
)
def test_an_output_that_lacks_a_figure_is_no_measurement(protocol: str, said: str) -> None:
    with pytest.raises(ServerError, match="no percentiles, no mean or no split"):
        of_perf_analyzer(said, protocol)


def test_our_means_are_of_the_windows_requests_and_the_servers_are_per_request_that_it_answered() -> None:
    sent = np.array([0, 1_000_000, 2_000_000], dtype=np.int64)
    first, done = sent + np.array([400_000, 500_000, 600_000]), sent + np.array([500_000, 600_000, 1_000_000])
    counters = ServerCounters(
        inferences=9,
        executions=3,
        success=4,
        queue_ns=400_000,
        compute_input_ns=None,
        compute_infer_ns=800_000,
        compute_output_ns=40_000,
    )
    sight = of_records(sent - 100_000, sent, first, done, counters)
    assert sight.intended == {"p50": 0.7, "p90": 1.1, "p99": 1.1}
    assert sight.percentiles == {"p50": 0.6, "p90": 1.0, "p99": 1.0}
    assert (sight.latency_us, sight.wait_us, sight.transfer_us, sight.server_us) == (700.0, 500.0, 200.0, 310.0)
    assert of_records(sent, sent, first, done, None).server_us is None
    idle = counters.model_copy(update={"success": 0})
    assert of_records(sent, sent, first, done, idle).server_us is None
