"""Metrics of the application in shared pages: compared with what prometheus_client makes of the same with files."""

from __future__ import annotations

import logging
import math
from typing import Dict, Iterable, List, Tuple

import pytest
from prometheus_client import multiprocess, values
from prometheus_client.metrics import Counter, Gauge, Histogram, Summary
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from server_core.observe import prometheus
from server_core.observe.application import ApplicationMetrics
from server_core.observe.exposition import render
from server_core.observe.pages import HEADER, Pages, PageWriter

LOG = logging.getLogger("test")
Samples = Dict[Tuple[str, Tuple[Tuple[str, str], ...]], float]


@pytest.fixture
def value_class(monkeypatch):
    """What the library itself would use comes back after the test, and no page stays."""
    monkeypatch.setattr(values, "ValueClass", prometheus.SharedValue)
    monkeypatch.setattr(prometheus._process, "page", None)
    return monkeypatch


def made(size: int = 1 << 20) -> ApplicationMetrics:
    return ApplicationMetrics(4, size)


def be(metrics: ApplicationMetrics, index: int) -> None:
    """From now on this process is the child at a place."""
    metrics.enter(index, LOG)


def samples(metrics: ApplicationMetrics, living: Iterable[int], taken: Iterable[str] = ()) -> Samples:
    """What a scrape sees; process ids are 100 and the place."""
    text = render(metrics.families({index: 100 + index for index in living}, taken, LOG))
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


GAUGE_MODES = sorted(Gauge._MULTIPROC_MODES)


def use_all(process: int) -> None:
    """What an application does, in the process of that number; declared anew as every process does it."""
    registry = CollectorRegistry()
    hits = Counter("hits", "Hits.", ["page"], registry=registry)
    hits.labels("/a").inc(process + 1)
    hits.labels('q"\\\n').inc()
    Counter("plain", "Without labels.", registry=registry).inc(0.5)
    wait = Histogram("wait", "Wait.", ["kind"], buckets=(0.1, 1, 10), registry=registry)
    for seconds in (0.05, 0.5, 0.5, 50):
        wait.labels("x").observe(seconds * (process + 1))
    Summary("size", "Size.", registry=registry).observe(10 * process)
    for mode in GAUGE_MODES:
        gauge = Gauge(f"g_{mode}", "G.", ["l"], registry=registry, multiprocess_mode=mode)
        gauge.labels("v").set(7 - process if process else 9)


def library_samples(monkeypatch, path, processes: int) -> Samples:
    """What the library makes of the same use, by its directory of files."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(path))
    for process in range(processes):
        monkeypatch.setattr(values, "ValueClass", values.MultiProcessValue(lambda process=process: 100 + process))
        use_all(process)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    for cleanup in values._multi_process_cleanups:
        cleanup()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def test_living_processes_give_what_the_library_gives(value_class, tmp_path):
    metrics = made()
    for process in range(3):
        be(metrics, process)
        use_all(process)
    ours = samples(metrics, range(3))
    assert ours == library_samples(value_class, tmp_path, 3)
    assert ours["wait_bucket", (("kind", "x"), ("le", "1.0"))] == 7


def test_of_dead_processes_sums_stay_and_their_own_gauges_go(value_class):
    metrics = made()
    for process in range(3):
        be(metrics, process)
        use_all(process)
    before = samples(metrics, range(3))
    metrics.gone(1)
    metrics.gone(2)
    after = samples(metrics, [0])
    for (name, labels), value in before.items():
        if name.startswith(("hits", "plain", "wait", "size")) or name in ("g_sum", "g_max", "g_min", "g_mostrecent"):
            assert after[name, labels] == pytest.approx(value), name
    assert {labels for name, labels in after if name in ("g_all", "g_liveall")} == {(("l", "v"), ("pid", "100"))}
    assert after["g_livesum", (("l", "v"),)] == after["g_livemin", (("l", "v"),)] == 9


def test_a_place_that_is_used_again_starts_empty_and_counters_go_on(value_class):
    metrics = made()
    highest = 0.0
    for _ in range(5):
        be(metrics, 2)
        use_all(0)
        value = samples(metrics, [2])["plain_total", ()]
        assert value > highest
        highest = value
        metrics.gone(2)
    assert samples(metrics, [])["plain_total", ()] == highest == 2.5


def test_metrics_of_a_template_count_in_the_workers_forked_from_it(value_class):
    metrics = made()
    registry = CollectorRegistry()
    be(metrics, 0)
    hits = Counter("hits", "Hits.", registry=registry)
    hits.inc(10)
    for index in (1, 2):
        prometheus._process.leave()  # what a fork does
        be(metrics, index)
        hits.inc()
    assert samples(metrics, range(3))["hits_total", ()] == 12
    assert hits._value.get() == 1


def test_a_process_that_the_application_forks_touches_nothing(value_class):
    metrics = made()
    be(metrics, 0)
    hits = Counter("hits", "Hits.", registry=CollectorRegistry())
    hits.inc()
    prometheus._process.leave()
    hits.inc(5)
    assert samples(metrics, [0])["hits_total", ()] == 1


def test_series_without_room_are_counted_and_told_once(value_class, caplog):
    metrics = made(4096)
    be(metrics, 0)
    hits = Counter("hits", "Hits.", ["user"], registry=CollectorRegistry())
    for user in range(1000):
        hits.labels(str(user)).inc()
    shown = [name for name, _ in samples(metrics, [0])]
    assert 10 < len(shown) < 100
    assert metrics.refused([0]) == 1000 - len(shown)
    assert len([record for record in caplog.records if "no room for" in record.message]) == 1
    metrics.gone(0)
    assert metrics.refused([]) == 1000 - len(shown)


def test_names_of_the_server_are_left_to_it(value_class, caplog):
    metrics = made()
    be(metrics, 0)
    Gauge("server_requests_total", "Ours.", registry=CollectorRegistry()).set(1)
    Gauge("mine", "Theirs.", registry=CollectorRegistry()).set(1)
    for _ in range(2):
        assert {name for name, _ in samples(metrics, [0], ["server_requests"])} == {"mine"}
    assert len([record for record in caplog.records if "server_requests_total is left out" in record.message]) == 1


def test_labels_that_mean_something_elsewhere_break_nothing(value_class):
    metrics = made()
    be(metrics, 0)
    Summary("size", "Size.", ["le"], registry=CollectorRegistry()).labels("large").observe(3)
    prometheus.SharedValue("histogram", "odd", "odd_bucket", ("le",), ("many",), "Odd.").inc(1)
    found = samples(metrics, [0])
    assert found["size_sum", (("le", "large"),)] == 3
    assert found["size_count", (("le", "large"),)] == 1
    assert found["odd_count", ()] == 0


def test_a_label_that_is_no_unicode_is_shown_escaped_and_hides_nothing_else(value_class):
    metrics = made()
    be(metrics, 0)
    Counter("paths", "Paths.", ["path"], registry=CollectorRegistry()).labels("/\udcff").inc()
    text = render(metrics.families({0: 1}, [], None)).encode()
    assert b'paths_total{path="/\\\\udcff"} 1\n' in text


def test_special_values_are_spelled_as_prometheus_reads_them(value_class):
    metrics = made()
    be(metrics, 0)
    gauge = Gauge("odd", "Odd.", ["l"], registry=CollectorRegistry(), multiprocess_mode="max")
    for value in (math.inf, -math.inf, 1e300, -0.25):
        gauge.labels(str(value)).set(value)
    assert samples(metrics, [0])["odd", (("l", "inf"),)] == math.inf
    assert samples(metrics, [0])["odd", (("l", "-inf"),)] == -math.inf
    assert samples(metrics, [0])["odd", (("l", "1e+300"),)] == 1e300


@pytest.mark.parametrize("offset", [0, HEADER, HEADER + 8, HEADER + 40])
@pytest.mark.parametrize("garbage", [b"\xff" * 64, b"\x01" + b"\0" * 63, bytes(range(64))])
def test_a_page_that_the_application_broke_breaks_nothing_else(value_class, offset, garbage):
    metrics = made()
    for index in (0, 1):
        be(metrics, index)
        Counter("hits", "Hits.", registry=CollectorRegistry()).inc()
    metrics._pages._page(0)[offset : offset + 64] = garbage
    found = samples(metrics, [0, 1])
    assert [name for name, _ in found if name.startswith("hits")]
    metrics.gone(0)
    assert samples(metrics, [1])["hits_total", ()] >= 1


def test_a_reader_finds_what_was_added_since_it_looked():
    pages = Pages(2, 4096)
    writer: PageWriter = pages.writer(1)
    seen: List[bytes] = []
    for number in range(20):
        key = b"k" * number
        place = writer.place(key)
        writer.floats[place] = number
        seen.append(key)
        assert [(entry.key, entry.value) for entry in pages.read(1)] == [(k, float(len(k))) for k in seen]
    assert pages.read(0) == []
