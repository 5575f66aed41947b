"""What every command shares, tried on a small command in processes of its own: help, flags, exit
codes, one line for each mistake.
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from dlib_tf2.system import command

REPO = pathlib.Path(__file__).parents[2]
SMALL = '''
"""Says what it was given."""

import errno, os, sys, time

from absl import flags

from dlib_tf2.system import command
from dlib_tf2.errors import DlibError, Interrupted, UserError

FLAGS = command.define_gin_flags()
flags.DEFINE_string("name", None, "a name (required)")
flags.DEFINE_string("do", "", "what to do")
flags.DEFINE_integer("count", 3, "a number", lower_bound=1)


def stage(error=None, needed=None):
    raise error


def in_gin(error):
    import gin

    configurable = gin.external_configurable(stage, "stage")
    gin.parse_config("stage.needed = %MANY\\nMANY = [1, 2, 3]")
    configurable(error)


def required():
    import gin

    def stage(needed=gin.REQUIRED):
        return needed

    gin.external_configurable(stage, "stage")()


def wait():
    print("waiting", flush=True)
    time.sleep(60)


def end_slowly():
    import atexit

    atexit.register(wait)


def say():
    print(FLAGS.name, FLAGS.count, FLAGS.gin_config, FLAGS.gin_bindings)


def noise(fail):
    with command.hold_stderr():
        os.write(2, b"noise of a library\\n")
        print("noise of Python", file=sys.stderr)
        if fail:
            raise ImportError("broken wheel")
    print("said afterwards", file=sys.stderr)


def main():
    eval(FLAGS.do or "say()")


def throw(error):
    raise error


command.run(main, required=["name"])
'''


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("bin") / "dlib_small"
    path.write_text(SMALL)
    return path


@pytest.fixture
def start(script, tmp_path):
    """Starts the small command in an empty folder that is also its home."""

    def process(*arguments, first=":"):
        environment = {**os.environ, "PYTHONPATH": str(REPO), "HOME": str(tmp_path)}
        arguments = [
            "bash",
            "-c",
            f'{first} && exec "$0" "$@"',
            sys.executable,
            str(script),
            *arguments,
        ]
        return subprocess.Popen(
            arguments,
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return process


@pytest.fixture
def run(start):
    """Runs the small command to its end: (exit code, stdout, stderr)."""

    def finished(*arguments, first=":"):
        process = start(*arguments, first=first)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    return finished


@pytest.fixture
def does(run):
    """Runs the small command with --do: (exit code, stderr)."""

    def outcome(code):
        number, _, err = run("--name=x", f"--do={code}")
        return number, err

    return outcome


@pytest.mark.parametrize("flag", ["--help", "-h", "--helpfull"])
def test_help_names_every_flag_of_the_command_and_does_nothing(run, flag):
    code, out, err = run(flag, "--do=say()")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "Says what it was given."
    assert "Flags of dlib_small:" in lines
    assert "  --name: a name (required)" in lines
    assert "  --count: a number (default: '3')" in lines
    assert "  --[no]dry_run: print the resolved configuration and stop" in lines
    assert any(line.startswith("  --gin_bindings: ") for line in lines)
    assert any(line.startswith("  --set: ") for line in lines)
    assert not any("None" in line or "pdb" in line for line in lines)


def test_flags_reach_the_command(run):
    flags = [
        "--name=n",
        "--count=5",
        "--gin_config=a.gin",
        "--gin_config=b.gin",
        "--gin_bindings=A = 1,2",
        "--gin_bindings=B = 'x'",
    ]
    assert run(*flags) == (0, "n 5 ['a.gin', 'b.gin'] ['A = 1,2', \"B = 'x'\"]\n", "")


@pytest.mark.parametrize(
    "words",
    [
        ["--set", "STEPS=200", "BETA=8", "--name=n"],
        ["--set=STEPS=200", "--name=n", "--set", "BETA = 8"],
        ["--name=n", "--set", "STEPS=200", "--set=BETA=8"],
    ],
)
def test_settings_are_bindings_that_come_last(run, words):
    expected = "n 3 [] ['BETA = 1', 'STEPS = 200', 'BETA = 8']\n"
    assert run("--gin_bindings=BETA = 1", *words) == (0, expected, "")


def test_what_is_no_literal_is_text_in_a_setting(run):
    words = [
        "DATASET=rendered_sprites/small",
        "a.b=@C()",
        "d=%E",
        "x/f.g=[1, 2]",
        "h=True",
        "i='k'",
        "l=1e-4",
        "m=a=b",
    ]
    bindings = [
        *(
            "DATASET = 'rendered_sprites/small'",
            "a.b = @C()",
            "d = %E",
            "x/f.g = [1, 2]",
            "h = True",
            "i = 'k'",
        ),
        *("l = 1e-4", "m = 'a=b'"),
    ]
    assert run("--name=n", "--set", *words) == (0, f"n 3 [] {bindings}\n", "")


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--set"], "--set needs at least one NAME=VALUE, such as --set STEPS=200 BETA=8"),
        (
            ["--set", "--count=2"],
            "--set needs at least one NAME=VALUE, such as --set STEPS=200 BETA=8",
        ),
        (
            ["--set", "STEPS=1", "200"],
            "--set '200' is no setting; expected NAME=VALUE, such as STEPS=200",
        ),
        (
            ["--set", "STEPS="],
            "--set 'STEPS=' is no setting; expected NAME=VALUE, such as STEPS=200",
        ),
        (["--set", "=3"], "--set '=3' is no setting; expected NAME=VALUE, such as STEPS=200"),
    ],
)
def test_a_mistyped_setting_is_one_line(run, words, expected):
    assert run("--name=x", *words) == (2, "", f"dlib_small: {expected}\n")


@pytest.mark.parametrize(
    "flags, expected",
    [
        ([], "missing required flag --name; see dlib_small --help"),
        (["--name="], "missing required flag --name; see dlib_small --help"),
        (
            ["--nam=x"],
            "Unknown command line flag 'nam'. Did you mean: name ?; see dlib_small --help",
        ),
        (
            ["--name=x", "file.gin"],
            "unexpected argument 'file.gin': every option is --flag=value; see dlib_small --help",
        ),
        (
            ["--name=x", "--", "-y"],
            "unexpected argument '-y': every option is --flag=value; see dlib_small --help",
        ),
        (
            ["--name=x", "--count=many"],
            (
                "flag --count=many: invalid literal for int() with base 10: 'many'; see dlib_small"
                " --help"
            ),
        ),
        (
            ["--name=x", "--count=0"],
            "flag --count=0: 0 is not a positive integer; see dlib_small --help",
        ),
        (["--name"], "Missing value for flag --name; see dlib_small --help"),
    ],
)
def test_a_mistake_in_the_flags_is_one_line_and_exit_code_2(run, flags, expected):
    assert run(*flags) == (2, "", f"dlib_small: {expected}\n")


@pytest.mark.parametrize("name, code", [("UserError", 2), ("DlibError", 1), ("Interrupted", 75)])
def test_our_errors_print_their_first_line_and_end_with_their_code(does, name, code):
    assert does(f"throw({name}('what came; the remedy\\nmore'))") == (
        code,
        "dlib_small: what came; the remedy\n",
    )
    assert does(f"throw({name}())") == (code, f"dlib_small: {name}\n")


def test_what_gin_adds_to_our_errors_is_left_out(does):
    assert does("in_gin(UserError('what came; the remedy'))") == (
        2,
        "dlib_small: what came; the remedy\n",
    )


def test_an_argument_that_gin_misses_is_one_line(does):
    code, err = does("required()")
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "Required bindings for `stage` not provided in config: ['needed']" in err
    assert "--gin_bindings" in err


def test_errors_of_the_disk_and_of_memory_are_one_line(does):
    full = "dlib_small: No space left on device: out/x; free space or choose another folder\n"
    assert does("throw(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'out/x'))") == (1, full)
    assert does("open('/dev/null/x')") == (
        2,
        "dlib_small: Not a directory: /dev/null/x; choose another path\n",
    )
    memory = "dlib_small: out of memory (9 GB); use smaller batches, models or tables\n"
    assert does("throw(MemoryError('9 GB'))") == (1, memory)
    assert does("in_gin(MemoryError('9 GB'))") == (1, memory)


@pytest.mark.parametrize(
    "name, code, remedy",
    [
        ("EACCES", 1, "Permission denied: out/x; allow access to it or choose another path"),
        ("ENAMETOOLONG", 2, "File name too long: out/x; choose another path"),
        ("EISDIR", 2, "Is a directory: out/x; choose another path"),
    ],
)
def test_errors_of_files_keep_their_number_through_gin(does, name, code, remedy):
    assert does(f"in_gin(OSError(errno.{name}, os.strerror(errno.{name}), 'out/x'))") == (
        code,
        f"dlib_small: {remedy}\n",
    )


def test_tensorflow_out_of_memory_is_one_line(does):
    # As allocating a dense layer of 1e9 units ends; the real one would have to ask this machine for
    # a terabyte.
    make = "__import__('tensorflow').errors.ResourceExhaustedError"
    said = (
        "OOM when allocating tensor with shape[256,1000000000] and type float on /cpu:0\nmore lines"
    )
    code, err = does(f"in_gin({make}(None, None, {said!r}))")
    assert code == 1
    line = (
        "dlib_small: out of memory (OOM when allocating tensor with shape[256,1000000000] and type"
        " float); "
    )
    assert err.splitlines()[-1] == f"{line}use smaller batches, models or tables"
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "code",
    ["1 / 0", "open('nowhere')", "throw(RuntimeError('a bug'))", "throw(TypeError('a bug'))"],
)
def test_what_nobody_foresaw_keeps_its_traceback(does, code):
    number, err = does(code)
    assert number == 1
    assert "Traceback (most recent call last)" in err


def test_a_value_of_a_wrong_kind_in_gin_is_one_line_unless_the_traceback_is_asked_for(
    does, monkeypatch
):
    number, err = does("in_gin(TypeError('no number'))")
    assert number == 2
    assert err.startswith("dlib_small: gin: ")
    assert "no number; correct what it is given (DLIB_TRACEBACK=1 shows where it failed)" in err
    assert len(err.splitlines()) == 1
    monkeypatch.setenv("DLIB_TRACEBACK", "1")
    number, err = does("in_gin(TypeError('no number'))")
    assert number == 1
    assert "Traceback (most recent call last)" in err


def test_a_value_that_contains_itself_is_one_line(does):
    line = (
        "dlib_small: gin: a value contains itself, such as mig.num_bins = @mig; correct it"
        " (DLIB_TRACEBACK=1 shows where it failed)\n"
    )
    assert does("in_gin(RecursionError('maximum recursion depth exceeded'))") == (2, line)


def test_an_output_that_nobody_reads_is_one_line(start):
    for arguments in (["--help"], ["--name=x"]):
        process = start(*arguments)
        process.stdout.close()
        assert (
            process.stderr.read()
            == "dlib_small: whoever read the output closed it; what was not printed is lost\n"
        )
        assert process.wait(timeout=60) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_with_one_line_and_code_75(start, number):
    process = start("--name=x", "--do=wait()")
    assert process.stdout.readline() == "waiting\n"
    began = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (
        75,
        "dlib_small: interrupted; run the same command again to resume\n",
    )
    assert time.monotonic() - began < 30  # not the 60 s it would have slept


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_libraries_wind_down_changes_nothing(start, number):
    process = start("--name=x", "--do=end_slowly()")
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")  # all was done when it came


def test_a_path_that_is_not_utf_8_is_one_line(run, tmp_path):
    odd = os.fsdecode(b"odd\xff")
    remedy = "is not UTF-8; rename the file or folder, or link to it by such a name\n"
    assert run(f"--name={odd}") == (2, "", f"dlib_small: --name=odd\ufffd {remedy}")
    assert run("--name", odd) == (2, "", f"dlib_small: odd\ufffd {remedy}")
    found = run("--name=x", first="mkdir $'odd\\xff' && cd $'odd\\xff'")
    assert found == (
        2,
        "",
        f"dlib_small: the current folder, {tmp_path}/odd\ufffd, {remedy}",
    )


def test_a_deleted_current_folder_is_one_line(run):
    found = run("--name=x", first="mkdir gone && cd gone && rmdir ../gone")
    assert found == (
        2,
        "",
        "dlib_small: the current folder was deleted; change to one that exists\n",
    )


def test_the_home_folder_is_found_where_the_shell_does_not_look(run, tmp_path):
    code, out, _ = run(
        "--name=~/runs", "--gin_config=~/a.gin", "--gin_config=b~.gin", "--gin_bindings=A = '~'"
    )
    assert (code, out) == (0, f"{tmp_path}/runs 3 ['{tmp_path}/a.gin', 'b~.gin'] [\"A = '~'\"]\n")


def test_noise_of_libraries_is_held_back_and_shown_only_when_they_fail(does):
    assert does("noise(fail=False)") == (0, "said afterwards\n")
    code, err = does("noise(fail=True)")
    assert code == 1
    assert err.startswith("noise of a library\nnoise of Python\nTraceback")
    assert err.endswith("ImportError: broken wheel\n")


def test_holding_back_twice_leaves_stderr_as_it_was(capfd):
    before = os.fstat(2).st_ino
    with command.hold_stderr(), command.hold_stderr():
        os.write(2, b"noise")
    os.write(2, b"heard")
    assert os.fstat(2).st_ino == before
    assert capfd.readouterr().err == "heard"
