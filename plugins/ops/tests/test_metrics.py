from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rolehost.api import (
    LagStatistics,
    Metric,
    ProcessContext,
    ProcessStatistics,
    QueueStatistics,
    StartError,
    Statistics,
    StorageUnavailable,
)
from rolehost_ops import plugin
from rolehost_ops.directory import MetricFiles
from rolehost_ops.recorder import LIMIT, MOST
from rolehost_ops.settings import OpsSettings

RECORD = """
import os, signal, sys
from pathlib import Path
from rolehost_ops.recorder import MetricsRecorder
recorder = MetricsRecorder(Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    recorder.job("ship", "completed", 0.1, 0.2)
os.kill(os.getpid(), signal.SIGKILL)
"""


def samples(text):
    """Return (name, labels as text) → value of everything in an exposition."""
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def recorder(services, monkeypatch):
    """The recorder of a started process."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "unset")  # restored when the test ends
    added = []
    plugin.rolehost_start(
        ProcessContext(
            plugin="ops",
            settings=OpsSettings(),
            services=services,
            role="http",
            record=added.append,
        )
    )
    (recorder,) = added
    return recorder


@pytest.fixture
def scrape(client):
    def get():
        return samples(client.simulate_get("/metrics").text)

    return get


def killed_process(directory, jobs):
    """Let a process record some jobs and be killed."""
    directory.mkdir(exist_ok=True)
    ended = subprocess.run([sys.executable, "-c", RECORD, str(directory), str(jobs)], check=False)
    assert ended.returncode == -9


def test_a_request_is_counted_and_its_duration_observed(recorder, scrape):
    recorder.request("GET", "/app/{app_id}", 201, 0.004)
    labels = "method=GET,route=/app/{app_id},status=2xx"
    seen = scrape()
    assert seen["rolehost_http_requests_total", labels] == 1
    assert seen["rolehost_http_request_duration_seconds_count", labels] == 1
    bucket = "rolehost_http_request_duration_seconds_bucket"
    assert seen[bucket, f"le=0.0025,{labels}"] == 0
    assert seen[bucket, f"le=0.005,{labels}"] == 1


def test_requests_without_a_route_share_one_label(recorder, scrape):
    for number in range(3):
        recorder.request("GET", "", 404, 0.001)
        recorder.request(f"X{number}", "", 405, 0.001)
    routes = {labels for name, labels in scrape() if name == "rolehost_http_requests_total"}
    assert routes == {
        "method=GET,route=(unmatched),status=4xx",
        "method=(other),route=(unmatched),status=4xx",
    }


def test_jobs_are_counted_by_actor_and_outcome(recorder, scrape):
    recorder.job("ship", "completed", 1.5, 0.25)
    recorder.job("ship", "retrying", 0.5, 0.25)
    seen = scrape()
    assert seen["rolehost_jobs_total", "actor=ship,outcome=completed"] == 1
    assert seen["rolehost_jobs_total", "actor=ship,outcome=retrying"] == 1
    assert seen["rolehost_job_wait_seconds_sum", "actor=ship"] == 2.0
    assert seen["rolehost_job_run_seconds_sum", "actor=ship"] == 0.5


def test_events_are_counted_by_topic_group_and_outcome(recorder, scrape):
    recorder.event("orders", "mail", "handled", 3.0, 0.5)
    seen = scrape()
    assert seen["rolehost_events_total", "group=mail,outcome=handled,topic=orders"] == 1
    assert seen["rolehost_event_age_seconds_sum", "group=mail,topic=orders"] == 3.0
    assert seen["rolehost_event_run_seconds_sum", "group=mail,topic=orders"] == 0.5


def test_relayed_events_are_counted_with_the_age_of_the_oldest(recorder, scrape):
    recorder.relayed(7, 0.5)
    seen = scrape()
    assert seen["rolehost_outbox_relayed_total", ""] == 7
    assert seen["rolehost_outbox_relay_age_seconds_sum", ""] == 0.5


def test_undeclared_names_beyond_the_limit_are_counted_as_one(recorder, scrape):
    for number in range(LIMIT + 5):
        recorder.undeclared("topic", f"t{number}")
    seen = scrape()
    assert seen["rolehost_undeclared_total", "kind=topic,name=t0"] == 1
    assert seen["rolehost_undeclared_total", "kind=topic,name=(other)"] == 5


def test_values_of_the_cache_are_counted_and_namespaces_beyond_the_limit_as_one(recorder, scrape):
    recorder.cache("prices", "hit", 2)
    recorder.cache("prices", "hit", 1)
    recorder.cache("prices", "miss", 1)
    for number in range(LIMIT + 5):
        recorder.cache(f"n{number}", "hit", 1)
    seen = scrape()
    assert seen["rolehost_cache_values_total", "namespace=prices,outcome=hit"] == 3
    assert seen["rolehost_cache_values_total", "namespace=prices,outcome=miss"] == 1
    assert seen["rolehost_cache_values_total", "namespace=(other),outcome=hit"] == 6


def test_values_of_one_label_are_shared_by_threads_and_outcomes(recorder, scrape):
    def work(outcome):
        for _ in range(500):
            recorder.job("ship", outcome, 0.25, 0.5)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("completed", "dead") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = scrape()
    assert seen["rolehost_jobs_total", "actor=ship,outcome=dead"] == 1000
    assert seen["rolehost_job_run_seconds_count", "actor=ship"] == 2000
    assert seen["rolehost_job_run_seconds_sum", "actor=ship"] == 1000.0


def test_an_observation_at_a_bound_belongs_below_it_and_one_above_all_is_counted(recorder, scrape):
    recorder.relayed(1, 0.005)
    recorder.relayed(1, 1e9)
    seen = scrape()
    assert seen["rolehost_outbox_relay_age_seconds_bucket", "le=0.005"] == 1
    assert seen["rolehost_outbox_relay_age_seconds_bucket", "le=21600.0"] == 1
    assert seen["rolehost_outbox_relay_age_seconds_bucket", "le=+Inf"] == 2


def test_a_closed_recorder_drops_what_comes(recorder, services, scrape):
    recorder.relayed(1, 0.5)
    services.close()
    recorder.relayed(1, 0.5)
    recorder.request("GET", "/", 200, 0.1)
    assert scrape()["rolehost_outbox_relayed_total", ""] == 1


def test_a_command_records_nothing(services, tmp_path):
    added = []
    plugin.rolehost_start(
        ProcessContext(
            plugin="ops",
            settings=OpsSettings(),
            services=services,
            role="command",
            record=added.append,
        )
    )
    assert added == []
    assert list(tmp_path.iterdir()) == []


def test_counts_of_all_processes_are_added_up(recorder, scrape, tmp_path):
    recorder.job("ship", "completed", 0.1, 0.2)
    killed_process(tmp_path / "metrics", 3)
    seen = scrape()
    assert seen["rolehost_jobs_total", "actor=ship,outcome=completed"] == 4
    assert seen["rolehost_job_run_seconds_count", "actor=ship"] == 4


def test_counts_of_the_dead_are_kept_in_one_file_however_many_died(scrape, tmp_path):
    directory = tmp_path / "metrics"
    for _ in range(3):
        killed_process(directory, 2)
        assert scrape()
    assert scrape()["rolehost_jobs_total", "actor=ship,outcome=completed"] == 6
    assert sorted(file.name for file in directory.glob("*.db")) == [
        "counter_rolehost_past.db",
        "histogram_rolehost_past.db",
    ]


def test_a_plugin_that_a_living_process_goes_on_without_is_marked(recorder, scrape):
    recorder.degraded("shop")
    recorder.degraded("shop")
    assert scrape()["rolehost_plugin_degraded", "plugin=shop"] == 1


def test_gauges_of_the_dead_are_dropped(tmp_path):
    killed_process(tmp_path, 1)
    (counter,) = tmp_path.glob("counter_*.db")
    pid = counter.stem.rpartition("_")[2]
    gauge = tmp_path / f"gauge_all_{pid}.db"
    gauge.write_bytes(counter.read_bytes())
    with MetricFiles(tmp_path).settled():
        assert not gauge.exists()


def test_a_compaction_that_was_cut_short_is_finished_and_counts_nothing_twice(
    scrape, tmp_path, monkeypatch
):
    directory = tmp_path / "metrics"
    killed_process(directory, 5)
    monkeypatch.setattr(MetricFiles, "_replay", lambda self: None)
    with MetricFiles(directory).settled():
        assert (directory / "journal.json").exists()
        assert list(directory.glob("counter_rolehost_[0-9]*.db"))
    monkeypatch.undo()
    assert scrape()["rolehost_jobs_total", "actor=ship,outcome=completed"] == 5
    assert not (directory / "journal.json").exists()


def test_a_file_that_is_just_being_made_disturbs_nobody(recorder, scrape, tmp_path):
    recorder.relayed(2, 0.1)
    (tmp_path / "metrics" / "counter_1.db").touch()
    assert scrape()["rolehost_outbox_relayed_total", ""] == 2


def test_a_folder_that_cannot_be_made_is_one_clear_line(services, tmp_path):
    (tmp_path / "file").touch()
    context = ProcessContext(
        plugin="ops",
        settings=OpsSettings(metrics_dir=str(tmp_path / "file" / "metrics")),
        services=services,
        role="worker",
        record=None,
    )
    with pytest.raises(StartError, match=r"^\[ops\] metrics_dir: cannot make .*: Not a directory$"):
        plugin.rolehost_start(context)


def test_files_of_living_processes_are_left_alone(recorder, tmp_path):
    recorder.relayed(1, 0.1)
    with MetricFiles(tmp_path / "metrics").settled():
        assert (tmp_path / "metrics" / f"counter_rolehost_{os.getpid()}.db").exists()


def test_the_state_of_the_deployment_is_asked_for_at_the_scrape(services, scrape):
    services.tell = lambda: Statistics(
        queues=(QueueStatistics("mail", "available", 12, 3.5),),
        outbox_count=4,
        outbox_age=1.25,
        dead_jobs=2,
        dead_events=1,
        parked_events=7,
        dead_messages=3,
        lags=(LagStatistics("orders", "mail", 9),),
        processes=(ProcessStatistics("worker", 2, 5, stuck=1),),
    )
    seen = scrape()
    assert seen == {
        ("rolehost_statistics_success", ""): 1,
        ("rolehost_queue_jobs", "queue=mail,state=available"): 12,
        ("rolehost_queue_oldest_ready_seconds", "queue=mail,state=available"): 3.5,
        ("rolehost_outbox_events", ""): 4,
        ("rolehost_outbox_oldest_seconds", ""): 1.25,
        ("rolehost_dead_letters", "kind=job"): 2,
        ("rolehost_dead_letters", "kind=event"): 1,
        ("rolehost_dead_letters", "kind=message"): 3,
        ("rolehost_parked_events", ""): 7,
        ("rolehost_event_lag_records", "group=mail,topic=orders"): 9,
        ("rolehost_processes", "role=worker"): 2,
        ("rolehost_process_restarts_total", "reason=death,role=worker"): 5,
        ("rolehost_process_restarts_total", "reason=hang,role=worker"): 0,
        ("rolehost_process_restarts_total", "reason=stuck,role=worker"): 1,
    }


def test_without_the_database_the_counts_are_served_all_the_same(recorder, services, scrape):
    def fail():
        raise StorageUnavailable("gone")

    recorder.relayed(3, 0.1)
    services.tell = fail
    seen = scrape()
    assert seen["rolehost_statistics_success", ""] == 0
    assert seen["rolehost_outbox_relayed_total", ""] == 3


ORDERS = Metric(name="shop_orders", kind="counter", summary="Orders.", labels=("kind",))
PACKING = Metric(
    name="shop_packing_seconds", kind="histogram", summary="Packing.", buckets=(1.0, 5.0)
)


def test_metrics_of_plugins_stand_beside_those_of_the_host(recorder, scrape):
    recorder.measured(ORDERS, 1.0, ("book",))
    recorder.measured(ORDERS, 2.0, ("book",))
    recorder.measured(PACKING, 3.0, ())
    seen = scrape()
    assert seen["shop_orders_total", "kind=book"] == 3
    assert seen["shop_packing_seconds_bucket", "le=1.0"] == 0
    assert seen["shop_packing_seconds_bucket", "le=5.0"] == 1
    assert seen["shop_packing_seconds_sum", ""] == 3


def test_a_counter_may_be_named_as_its_sample_and_a_histogram_leave_its_buckets(recorder, scrape):
    named = Metric(name="shop_visits_total", kind="counter", summary="Visits.")
    recorder.measured(named, 1.0, ())
    recorder.measured(Metric(name="shop_seconds", kind="histogram", summary="Any."), 0.2, ())
    seen = scrape()
    assert seen["shop_visits_total", ""] == 1
    assert seen["shop_seconds_bucket", "le=0.25"] == 1


def test_a_plugins_metric_with_too_many_labels_gathers_the_rest_in_one(recorder, scrape):
    for number in range(MOST + 2):
        recorder.measured(ORDERS, 1.0, (f"kind {number}",))
    recorder.measured(ORDERS, 1.0, ("kind 0",))
    seen = {labels: value for (name, labels), value in scrape().items() if "orders" in name}
    assert len(seen) == MOST + 1
    assert seen["kind=(other)"] == 2
    assert seen["kind=kind 0"] == 2


def test_every_metric_of_the_host_has_a_name_that_no_plugin_may_take(recorder, scrape):
    recorder.request("GET", "/", 200, 0.1)
    recorder.cache("n", "hit", 1)
    assert {name.partition("_")[0] for name, _ in scrape()} == {"rolehost"}


def test_openmetrics_is_given_to_those_who_ask_for_it(client):
    plain = client.simulate_get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    asked = client.simulate_get(
        "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
    )
    assert asked.headers["content-type"].startswith("application/openmetrics-text")
    assert asked.text.endswith("# EOF\n")


def test_every_metric_stands_in_the_readme(recorder, services, scrape):
    recorder.request("GET", "/", 200, 0.1)
    recorder.job("a", "completed", 0.1, 0.1)
    recorder.event("t", "g", "handled", 0.1, 0.1)
    recorder.relayed(1, 0.1)
    recorder.undeclared("topic", "t")
    recorder.cache("n", "hit", 1)
    services.tell = lambda: Statistics(
        queues=(QueueStatistics("q", "available", 1, 0.0),),
        lags=(LagStatistics("t", "g", 1),),
        processes=(ProcessStatistics("http", 1, 0),),
    )
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    for name, _ in scrape():
        for suffix in ("_bucket", "_sum", "_count"):
            name = name.removesuffix(suffix)
        assert f"`{name}`" in readme


def test_metrics_of_other_plugins_are_served_too(tmp_path):
    script = """
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from rolehost.api import ProcessContext, Statistics
from rolehost_ops import plugin
from rolehost_ops.directory import MetricFiles
from rolehost_ops.settings import OpsSettings
services = SimpleNamespace(register=lambda *_, **__: None, get=lambda _: None)
settings = OpsSettings(metrics_dir=sys.argv[1])
plugin.rolehost_start(ProcessContext(
    plugin="ops", settings=settings, services=services, role="worker", record=lambda _: None,
))
import prometheus_client
prometheus_client.Counter("theirs", "Made in a plugin's start.").inc(3)
from prometheus_client.exposition import generate_latest
from rolehost_ops.exposition import render
print(render(MetricFiles(Path(sys.argv[1])), None, generate_latest).decode())
"""
    environ = {k: v for k, v in os.environ.items() if k != "PROMETHEUS_MULTIPROC_DIR"}
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        check=True,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert samples(ended.stdout)["theirs_total", ""] == 3
