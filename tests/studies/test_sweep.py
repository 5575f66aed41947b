"""Sweeps: what becomes of each way in which a model's process can end, the status of a folder, and
three real models on the pool.
"""

import importlib.util
import re
import sys
import types

import no_tensorflow
import pytest

from dlib_tf2.errors import DlibError, Interrupted, UserError
from dlib_tf2.records import results
from dlib_tf2.studies import pool, run_folder, status, sweep
from dlib_tf2.studies.child import Task
from dlib_tf2.studies.plan import make_plan
from dlib_tf2.studies.pool import Ended
from dlib_tf2.studies.ray_pool import RayPool


class Scripted:
    """A backend whose processes end as they are told: model -> exit codes of its attempts; 0 writes
    what a finished model leaves.
    """

    def __init__(self, plans, output_dir, codes, room=2):
        self.plans, self.output_dir, self.room = plans, output_dir, room
        self.codes = {number: list(attempts) for number, attempts in codes.items()}
        self.running, self.tasks, self.stopped = [], [], False

    def free(self):
        return len(self.running) < self.room

    def start(self, task):
        self.running.append(task)
        self.tasks.append(task)

    def ended(self):
        found = [
            self.end(task, self.codes.get(task.model_num, [0]).pop(0)) for task in self.running
        ]
        self.running = []
        return found

    def end(self, task, code):
        if isinstance(code, BaseException):
            raise code
        code = code() if callable(code) else code
        number, folder = task.model_num, self.output_dir / str(task.model_num)
        if code == 0:
            run_folder.claim_model(folder)
            run_folder.write_done(folder, self.plans[number].fingerprint(), [], {})
        elif code is None:
            return Ended(number, None, "NodeDiedError: gone")
        elif code > 0:
            (self.output_dir / "logs").mkdir(exist_ok=True)
            with open(task.log, "a") as log:
                log.write(f"step 3\ndlib_reproduce: the reason of {number}\n")
        return Ended(number, code)

    def stop(self, seconds):
        self.stopped = True


@pytest.fixture
def script(tiny_study, tmp_path, monkeypatch):
    """Runs a sweep of scripted models: (codes, numbers, retries) -> the backend."""
    monkeypatch.setattr(sweep, "_POLL_SECONDS", 0.0)

    def run(codes, numbers=range(4), retries=2):
        plans = {number: make_plan(tiny_study, number) for number in numbers}
        run.backend = Scripted(plans, tmp_path / "out", codes)
        asked = []
        sweep.sweep(
            plans,
            tmp_path / "out",
            asked.append,
            lambda: run.backend,
            {"OMP_NUM_THREADS": "1"},
            retries,
            ["--study=tiny_study"],
        )
        assert [sorted({plan.dataset for plan in left}) for left in asked] in (
            [],
            [["rendered_sprites/small"]],
        )
        assert all(plan in plans.values() for left in asked for plan in left)
        return run.backend

    return run


def started(backend):
    return [task.model_num for task in backend.tasks]


def test_each_model_is_run_once_in_the_given_order(script, tmp_path, capsys):
    backend = script({}, [3, 0, 2])
    assert started(backend) == [3, 0, 2]
    assert backend.stopped
    assert backend.tasks[0].arguments == (
        "--study=tiny_study",
        "--model_num=3",
        f"--output_dir={tmp_path / 'out'}",
    )
    assert backend.tasks[0].environment == {"OMP_NUM_THREADS": "1"}
    last = capsys.readouterr().err.splitlines()[-1].split()
    assert last[:4] == ["3", "0", "0", "0"]  # done, running, failed, left
    script({}, [3, 0, 2, 1])
    assert started(script.backend) == [1]
    script({}, [0, 1])
    assert started(script.backend) == []
    assert "all 2 models are done" in capsys.readouterr().out


def test_a_killed_a_lost_and_a_stopped_process_are_tried_again(script, capsys):
    backend = script({0: [-9, 0], 1: [None, 0], 2: [75, 1, 0]})
    assert started(backend) == [0, 1, 2, 3, 0, 1, 2, 2]
    said = capsys.readouterr().err
    for reason in (
        "0: killed by signal SIGKILL",
        r"1: its worker or node was lost \(NodeDiedError: gone\)",
        "2: stopped from outside",
    ):
        assert re.search(f"model {reason}.*; trying again \\(1 of 2\\)", said)
    assert "model 2: the reason of 2; trying again (2 of 2)" in said


def test_what_fails_for_good_is_kept_with_its_reason_and_tried_by_the_next_sweep(script, tmp_path):
    with pytest.raises(
        DlibError,
        match=(
            r"2 of 4 models failed \(model 1: the reason of 1\); all reasons: dlib_sweep --status"
        ),
    ) as caught:
        script({1: [1, 1, 1], 3: [2, 0]})
    assert caught.value.exit_code == 1
    assert started(script.backend) == [0, 1, 2, 3, 1, 1]  # a user's mistake, 3, is not tried again
    assert status.describe(tmp_path / "out").splitlines() == [
        (
            f"tiny_study in {tmp_path / 'out'}: 12 models: 2 done, 0 running, 2 failed, 0 stopped,"
            " 0 outdated, 8 missing"
        ),
        "failed 1: the reason of 1",
        "failed 3: the reason of 3",
        "missing 4:12",
    ]
    assert started(script({})) == [1, 3]
    assert status.describe(tmp_path / "out", "0:4").endswith(
        "4 models: 4 done, 0 running, 0 failed, 0 stopped, 0 outdated, 0 missing"
    )


def test_a_model_that_another_sweep_runs_is_waited_for_and_not_run_twice(
    script, tmp_path, monkeypatch
):
    plan = make_plan("tiny_study", 1)
    folder = run_folder.claim_model(run_folder.claim_study(tmp_path / "out", plan) / "1")
    looks = iter([True, True, True, False])
    monkeypatch.setattr(sweep, "_ELSEWHERE_SECONDS", 0.0)

    def is_locked(path):
        if path.name != "1":
            return False
        if not (locked := next(looks, False)):
            run_folder.write_done(folder, plan.fingerprint(), [], {})
        return locked

    monkeypatch.setattr(sweep, "is_locked", is_locked)
    assert started(script({})) == [0, 2, 3]


def test_a_model_that_another_sweep_finished_first_is_done_and_not_failed(script, tmp_path):
    plan = make_plan("tiny_study", 1)

    def lose():  # it finds the lock taken, and the winner ends before the sweep looks
        folder = run_folder.claim_model(tmp_path / "out" / "1")
        run_folder.write_done(folder, plan.fingerprint(), [], {})
        return 2

    assert started(script({1: [lose]})) == [0, 1, 2, 3]
    assert run_folder.state(tmp_path / "out" / "1").kind == "done"
    assert not (tmp_path / "out" / "1" / "failed.json").exists()


def test_the_status_counts_only_what_is_there_and_made_by_this_study(script, tmp_path):
    script({})
    results.write_json(tmp_path / "out" / "0" / "done.json", {})  # of another program
    done = run_folder.read_json(tmp_path / "out" / "1" / "done.json")
    # which somebody deleted
    results.write_json(tmp_path / "out" / "1" / "done.json", {**done, "parts": ["model"]})
    results.write_json(
        tmp_path / "out" / "2" / "done.json", {**done, "fingerprint": "of an earlier version"}
    )
    assert status.describe(tmp_path / "out", "0:4", "tiny_study").splitlines() == [
        (
            f"tiny_study in {tmp_path / 'out'}: 4 models: 1 done, 0 running, 0 failed, 2 stopped, 1"
            " outdated, 0 missing"
        ),
        "stopped 0:2",
        "outdated 2",
    ]
    assert ": 1 model: 1 done, " in status.describe(tmp_path / "out", "3")
    with pytest.raises(
        UserError,
        match=(
            "holds models of study 'tiny_study', not of 'rendered_study'; leave out --study, or"
            " name"
        ),
    ):
        status.describe(tmp_path / "out", "", "rendered_study")
    assert started(script({})) == [0, 1, 2]


@pytest.mark.parametrize("text", ['{"stu', "[]", "{}"])
def test_a_damaged_study_file_is_not_taken_over(script, tmp_path, text):
    script({})
    (tmp_path / "out" / "study.json").write_text(text)
    for use in (lambda: script({}), lambda: status.describe(tmp_path / "out")):
        with pytest.raises(
            UserError,
            match=(
                r"study.json is damaged, so the study of these models is not known; restore it, or"
                r" choose another"
            ),
        ):
            use()
    assert (tmp_path / "out" / "study.json").read_text() == text


def test_a_stop_is_an_interruption(script):
    with pytest.raises(
        Interrupted, match="stopped with 2 of 4 models done; run the same command again"
    ):
        script({2: [KeyboardInterrupt()]})
    assert script.backend.stopped
    assert started(script({})) == [2, 3]


def test_the_state_of_a_folder(tmp_path):
    folder = tmp_path / "7"
    assert run_folder.state(folder) == ("missing", "")
    run_folder.claim_model(folder)
    assert run_folder.state(folder) == ("stopped", "")
    run_folder.write_failure(folder, "no room", 1)
    assert run_folder.state(folder) == ("failed", "no room")
    (folder / "failed.json").write_text('{"rea')  # half written by another program
    assert run_folder.state(folder) == ("stopped", "")
    results.write_json(folder / "done.json", {"fingerprint": "x", "parts": ["model"]})
    assert not run_folder.is_done(folder, "x")
    assert not run_folder.is_done(folder, "y", thorough=False)
    for damaged in ({}, {"parts": None}, {"parts": [1]}, {"parts": "model"}):
        results.write_json(folder / "done.json", {"fingerprint": "x", **damaged})
        assert not run_folder.is_done(folder, "x")


def test_a_result_that_was_cut_short_is_not_done(tmp_path):
    folder = run_folder.claim_model(tmp_path / "7")
    (folder / "model").mkdir()
    (folder / "model" / "results.json").write_text('{"format": 1}')
    run_folder.write_done(folder, "x", ["model"], {})
    assert run_folder.is_done(folder, "x", thorough=False)
    (folder / "model" / "results.json").write_text('{"for')
    assert not run_folder.is_done(folder, "x", thorough=False)
    assert run_folder.state(folder, "x").kind == "stopped"


def test_a_folder_of_which_no_model_has_begun_takes_corrected_bindings(tiny_study, tmp_path):
    wrong, right = (make_plan(tiny_study, 0, None, [f"STEPS = {steps}"]) for steps in (20, 30))
    run_folder.claim_study(tmp_path / "out", wrong)
    run_folder.write_failure(run_folder.claim_model(tmp_path / "out" / "0"), "a mistake", 2)
    run_folder.claim_study(tmp_path / "out", right)
    (tmp_path / "out" / "0" / "model").mkdir()
    with pytest.raises(
        UserError,
        match=(
            r"holds models of gin_bindings \['STEPS = 30'\], not of \['STEPS = 20'\]; choose"
            r" another"
        ),
    ):
        run_folder.claim_study(tmp_path / "out", wrong)


def test_gpus_are_shared(monkeypatch):
    assert pool.share_gpus(["0", "1"], 1) == ["0", "1"]
    assert pool.share_gpus(["0", "1"], 0.5) == ["0", "0", "1", "1"]
    assert pool.share_gpus(["0", "1", "2", "3", "4"], 2) == ["0,1", "2,3"]
    with pytest.raises(
        UserError, match="no run fits: --gpus_per_run=1, and this machine has 0 GPUs"
    ):
        pool.share_gpus([], 1)
    assert pool.environment(3, 0.5)["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert set(pool.environment(3, 0.0).values()) == {"3"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert pool.visible_gpus() == ["3", "5"]


def test_ray_that_is_not_installed_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        UserError, match=r"Ray is not installed; install the extra: pip install 'dlib_tf2\[ray\]'"
    ):
        RayPool("auto", 1, 0.0)


@pytest.fixture
def ray_cluster(monkeypatch):
    """A stand-in for the module ray, whose tasks never end: gives the list of its nodes'
    resources.
    """
    nodes = []
    ray = types.ModuleType("ray")
    ray.init = lambda **_: None
    ray.nodes = lambda: [{"Alive": bool(room), "Resources": room} for room in nodes]
    ray.remote = lambda **_: lambda run: types.SimpleNamespace(remote=lambda task: object())
    monkeypatch.setitem(sys.modules, "ray", ray)
    return nodes


@pytest.mark.parametrize(
    "share, workers, expected",
    [
        ((4, 0.0), None, 4),
        ((4, 0.0), 3, 3),
        ((5, 0.0), None, 2),
        ((1, 0.5), None, 2),
        ((8, 1.0), None, 1),
    ],
)
def test_ray_has_room_for_what_fits_on_single_nodes(ray_cluster, share, workers, expected):
    # the third is dead
    ray_cluster += [{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0}, {}, {"memory": 1e9}]
    backend = RayPool("auto", *share, workers)
    started = 0
    while backend.free():
        backend.start(Task(started, (), "", "", {}))
        started += 1
    assert started == expected


def test_a_ray_cluster_whose_nodes_are_too_small_is_refused(ray_cluster):
    ray_cluster += [{"CPU": 8.0}] * 8
    with pytest.raises(UserError, match="no node of the Ray cluster has 16 CPU; choose smaller"):
        RayPool("auto", 16, 0.0).free()
    with pytest.raises(
        UserError, match="no node of the Ray cluster has 1 CPU and 0.5 GPU; choose smaller"
    ):
        RayPool("auto", 1, 0.5).free()
    backend = RayPool("auto", 8, 0.0)
    backend.start(Task(0, (), "", "", {}))
    ray_cluster.clear()  # lost with its model, which Ray will say
    assert not backend.free()


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--models=0:2"], "missing required flag --study; see dlib_sweep --help"),
        (["--study=nothing"], "unknown study 'nothing'; the known ones are .*"),
        (
            ["--study=rendered_study", "--models=100:109"],
            r"--models has '100:109', but the study's models are 0 \.\. 107 .*",
        ),
        (
            ["--study=rendered_study", "--models=x"],
            "--models has 'x'; expected a number or a range such as 0:108, joined by commas",
        ),
        (
            ["--status"],
            (
                r".*out is not the folder of a study \(no study.json\); name the --output_dir of"
                r" dlib_sweep or dlib_reproduce"
            ),
        ),
        (
            ["--status", "--suite=fast"],
            (
                "--suite means nothing beside --status, which reads what the folder was made with;"
                " leave it out"
            ),
        ),
        (["--study=rendered_study", "--workers=0"], ".*workers.*"),
        (
            ["--study=rendered_study", "--gpus_per_run=nan"],
            "--gpus_per_run=nan is not a number; choose e.g. 1 or 0.5",
        ),
        (
            ["--study=rendered_study", "--gpus_per_run=1.5", "--ray_address=auto"],
            "--gpus_per_run=1.5 is more than one and not whole; choose e.g. 1 or 0.5",
        ),
    ],
)
def test_a_mistake_is_one_line(flags, said, run_command, tmp_path):
    command = ["dlib_sweep", *flags, f"--output_dir={tmp_path / 'out'}"]
    code, out, err = run_command(*command, environment=no_tensorflow.environment(tmp_path))
    assert (code, out) == (2, "")
    assert re.fullmatch(f"dlib_sweep: {said}\n", err)


def test_a_misspelt_parameter_is_said_before_any_model_starts_and_costs_no_folder(
    run_command, tmp_path, tiny_study, data_dir
):
    flags = [
        f"--study={tiny_study}",
        "--models=0:3",
        f"--output_dir={tmp_path / 'out'}",
        f"--data_dir={data_dir}",
    ]
    for number in range(2):
        code, out, err = run_command(
            "dlib_sweep", *flags, "--gin_bindings=mig.num_trian = " + str(number + 5)
        )
        assert (code, out) == (2, "")
        assert re.fullmatch("dlib_sweep: .*num_trian.*num_train.*\n", err)
    assert not list((tmp_path / "out").glob("[0-9]*"))


def test_every_setting_of_a_method_is_looked_at(run_command, tmp_path, tiny_study, data_dir):
    study = tmp_path / "studies" / "tiny_study.py"
    study.write_text(
        study.read_text().replace(
            "(1, 4), *FIXED)",
            '(1,), *FIXED, "mig.num_trian = 5"), *strengths("beta_vae", "BETA", (4,), *FIXED)',
        )
    )
    code, out, err = run_command(
        "dlib_sweep",
        f"--study={tiny_study}",
        f"--output_dir={tmp_path / 'out'}",
        f"--data_dir={data_dir}",
    )
    assert (code, out) == (2, "")
    assert re.fullmatch("dlib_sweep: .*num_trian.*num_train.*\n", err)


NO_RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
ON_RAY = pytest.param(("--ray_address=local",), marks=[pytest.mark.slow, NO_RAY])


@pytest.mark.parametrize("backend", [(), ON_RAY], ids=["pool", "ray"])
def test_a_dataset_that_is_not_prepared_is_said_before_any_model_starts(
    run_command, tmp_path, backend
):
    flags = [
        "--study=unsupervised_study_v1",
        "--models=0:3",
        f"--output_dir={tmp_path / 'out'}",
        f"--data_dir={tmp_path / 'data'}",
    ]
    code, out, err = run_command("dlib_sweep", *flags, *backend)
    assert (code, out) == (2, "")
    assert re.fullmatch("dlib_sweep: .*dlib_prepare_data --dataset=dsprites_full.*\n", err)
    assert not (tmp_path / "out" / "0").exists()


@pytest.mark.slow
def test_the_pool_runs_real_models_and_the_folder_says_so(
    tiny_study, run_command, tmp_path, data_dir
):
    flags = [f"--study={tiny_study}", f"--output_dir={tmp_path / 'out'}", f"--data_dir={data_dir}"]
    code, out, err = run_command(
        "dlib_sweep", *flags, "--models=0,9", "--workers=2", "--shuffle", seconds=300
    )
    assert (code, out) == (0, "")
    assert err.splitlines()[-1].split()[:4] == ["2", "0", "0", "0"]
    without_tensorflow = no_tensorflow.environment(tmp_path)
    code, out, _ = run_command(
        "dlib_sweep", "--status", f"--output_dir={tmp_path / 'out'}", environment=without_tensorflow
    )
    assert code == 0
    assert out.splitlines() == [
        (
            f"tiny_study in {tmp_path / 'out'}: 12 models: 2 done, 0 running, 0 failed, 0 stopped,"
            " 0 outdated, 10 missing"
        ),
        "missing 1:9,10:12",
    ]
    code, out, _ = run_command("dlib_sweep", *flags, "--models=0,9", environment=without_tensorflow)
    assert (code, out) == (0, f"all 2 models are done in {tmp_path / 'out'}; nothing to do\n")
    record = results.read_step(tmp_path / "out" / "9" / "scores" / "mean" / "mig")
    assert (
        results.label(record, "study"),
        results.label(record, "model_num"),
        results.label(record, "seed"),
    ) == ("tiny_study", 9, 1)
