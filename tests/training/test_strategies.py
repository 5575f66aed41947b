"""Strategies by name, what each refuses, who writes the files, and when XLA compiles."""

import json

import pytest
import tensorflow as tf

from dlib_tf2.errors import UserError
from dlib_tf2.training import strategies


class Workers(tf.distribute.MultiWorkerMirroredStrategy):
    """The place of one process in a cluster, without the cluster."""

    def __init__(self, jobs, task_type, task_id):
        spec = tf.train.ClusterSpec(
            {job: [f"host{index}:1" for index in range(count)] for job, count in jobs.items()}
        )
        self._resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            spec, task_type=task_type, task_id=task_id
        )

    cluster_resolver = property(lambda self: self._resolver)


def test_default_is_one_device():
    strategy = strategies.make_strategy()
    assert strategy.num_replicas_in_sync == 1
    assert strategies.describe(strategy) == "1 x CPU"


def test_mirrored_splits_the_cpu():
    strategy = strategies.make_strategy("mirrored", cpu_replicas=2)
    assert strategy.num_replicas_in_sync == 2
    assert strategies.describe(strategy) == "2 x CPU"


def test_cpu_that_is_in_use_cannot_be_split_again():
    tf.constant(0)
    with pytest.raises(UserError, match="make the strategy first"):
        strategies.make_strategy("mirrored", cpu_replicas=3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"name": "horovod"},
            "unknown --strategy=horovod; known: default, mirrored, multi_worker, tpu",
        ),
        ({"name": "tpu"}, "--tpu=NAME, or --tpu=local"),
        ({"name": "tpu", "tpu": "local"}, "no TPU answers to --tpu=local"),
        ({"name": "mirrored", "tpu": "local"}, "--tpu=local contradicts --strategy=mirrored"),
        ({"cpu_replicas": 2}, "--cpu_replicas=2 needs --strategy=mirrored"),
        ({"name": "multi_worker", "cpu_replicas": 2}, "--cpu_replicas=2 needs --strategy=mirrored"),
    ],
)
def test_what_cannot_be_had_is_refused_in_one_line(arguments, message):
    with pytest.raises(UserError, match=message) as raised:
        strategies.make_strategy(**arguments)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    "tf_config",
    [
        None,
        "",
        "worker 0",
        "[]",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "first"}}',
    ],
)
def test_missing_or_broken_tf_config_is_refused(monkeypatch, tf_config):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if tf_config is not None:
        monkeypatch.setenv("TF_CONFIG", tf_config)
    with pytest.raises(UserError, match="needs TF_CONFIG such as (.*)") as raised:
        strategies.make_strategy("multi_worker")
    example = json.loads(str(raised.value).partition("such as ")[2])
    assert example["task"] == {"type": "worker", "index": 0}


def test_chief_writes_the_files(two_replicas):
    assert strategies.is_chief(two_replicas)
    workers, with_chief = {"worker": 2}, {"chief": 1, "worker": 2}
    assert strategies.is_chief(Workers(workers, "worker", 0))
    assert not strategies.is_chief(Workers(workers, "worker", 1))
    assert strategies.is_chief(Workers(with_chief, "chief", 0))
    assert not strategies.is_chief(Workers(with_chief, "worker", 0))


def test_only_pod_slices_need_records(two_replicas):
    assert not strategies.needs_records(two_replicas)
    assert not strategies.needs_records(tf.distribute.get_strategy())


def test_xla_is_for_one_gpu_or_on_demand(monkeypatch, two_replicas):
    single = tf.distribute.get_strategy()
    assert [strategies.use_xla(single, choice) for choice in ("auto", True, False)] == [
        False,
        True,
        False,
    ]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["a GPU"])
    assert strategies.use_xla(single, "auto")
    assert not strategies.use_xla(two_replicas, "auto")


@pytest.mark.parametrize(
    "choice, message",
    [(True, "exactly one replica"), ("on", "must be 'auto', True or False, got 'on'")],
)
def test_xla_settings_that_cannot_work_are_refused(two_replicas, choice, message):
    with pytest.raises(UserError, match=message):
        strategies.use_xla(two_replicas, choice)
