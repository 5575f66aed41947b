"""Where a run computes: one device, several of one host, several hosts, or a TPU."""

import json
import os
import sys

import tensorflow as tf

from dlib_tf2.errors import UserError, first_line

NAMES = ("default", "mirrored", "multi_worker", "tpu")


def make_strategy(
    name: str = "default", tpu: str | None = None, cpu_replicas: int = 1
) -> tf.distribute.Strategy:
    """Makes the tf.distribute strategy; called before anything else touches TensorFlow's devices.

    Args:
        name: "default" (one GPU or the CPU), "mirrored" (all GPUs of this host, or `cpu_replicas`
            logical CPUs), "multi_worker" (the hosts of TF_CONFIG) or "tpu".
        tpu: name or address of the TPU; "local" on a TPU VM.
        cpu_replicas: without GPUs, logical CPUs that "mirrored" splits this host into, to try
            replicas out.

    Raises:
        UserError: the strategy is unknown or what it needs is missing.
    """
    if name not in NAMES:
        raise UserError(f"unknown --strategy={name}; known: {', '.join(NAMES)}")
    if tpu and name not in ("tpu", "default"):
        raise UserError(
            f"--tpu={tpu} contradicts --strategy={name}; leave --strategy out or say --strategy=tpu"
        )
    if cpu_replicas != 1 and (tpu or name != "mirrored"):
        raise UserError(f"--cpu_replicas={cpu_replicas} needs --strategy=mirrored")
    if tpu or name == "tpu":
        return _tpu(tpu)
    if name == "multi_worker":
        return _multi_worker()
    if name == "mirrored":
        return _mirrored(cpu_replicas)
    return tf.distribute.get_strategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the files; with one process it does."""
    resolver = strategy.cluster_resolver
    if (
        not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        or resolver is None
        or not resolver.task_type
    ):
        return True
    if resolver.task_type == "chief":
        return True
    return (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().jobs
    )


def needs_records(strategy: tf.distribute.Strategy) -> bool:
    """Whether the input pipeline runs on hosts without this Python process: a TPU pod slice driven
    from one host.
    """
    return isinstance(strategy, tf.distribute.TPUStrategy) and strategy.extended.num_hosts > 1


def use_xla(strategy: tf.distribute.Strategy, xla: str | bool) -> bool:
    """Whether a replica's step is compiled by jit_compile.

    "auto" means one GPU: on CPU XLA runs these convolutions many times slower, with several
    replicas jit_compile fails, and TPUStrategy compiles by itself.
    """
    if xla not in ("auto", True, False):
        raise UserError(f"train.xla must be 'auto', True or False, got {xla!r}")
    single = strategy.num_replicas_in_sync == 1 and not isinstance(
        strategy, tf.distribute.TPUStrategy
    )
    if xla == "auto":
        return single and bool(tf.config.list_physical_devices("GPU"))
    if xla is True and not single:
        raise UserError(
            "train.xla = True needs exactly one replica that is no TPU; use 'auto' or False"
        )
    return bool(xla)


def describe(strategy: tf.distribute.Strategy) -> str:
    """A short name of the devices for results and progress, e.g. "2 x GPU"."""
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return f"{strategy.num_replicas_in_sync} x TPU"
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    return f"{strategy.num_replicas_in_sync} x {kind}"


def _mirrored(cpu_replicas: int) -> tf.distribute.Strategy:
    if tf.config.list_physical_devices("GPU"):
        return tf.distribute.MirroredStrategy()
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * cpu_replicas
        )
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) != cpu_replicas:
            raise UserError(
                "the CPU was in use before it could be split; make the strategy first"
            ) from error
    return tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(cpu_replicas)])


def _multi_worker() -> tf.distribute.Strategy:
    try:
        config = json.loads(os.environ.get("TF_CONFIG", ""))
        cluster, task = config["cluster"], config["task"]
        me = f"{task['type']} {task['index']} ({cluster[task['type']][int(task['index'])]})"
        hosts = sorted(host for job in cluster.values() for host in job)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        example = (
            '{"cluster": {"worker": ["host0:12345", "host1:12345"]}, "task": {"type": "worker",'
            ' "index": 0}}'
        )
        raise UserError(f"--strategy=multi_worker needs TF_CONFIG such as {example}") from error
    print(f"{me}: waiting for all of {', '.join(hosts)} to start", file=sys.stderr, flush=True)
    return tf.distribute.MultiWorkerMirroredStrategy()


def _tpu(tpu: str | None) -> tf.distribute.Strategy:
    if not tpu:
        raise UserError("--strategy=tpu needs --tpu=NAME, or --tpu=local on a TPU VM")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu)
        if tpu != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    # A name is looked up on the network (OSError), with a client library that may be missing
    # (ImportError).
    except (ValueError, RuntimeError, OSError, ImportError, tf.errors.OpError) as error:
        raise UserError(
            f"no TPU answers as --tpu={tpu} ({first_line(error)}); see docs/distributed.md"
        ) from error
    return tf.distribute.TPUStrategy(resolver)
