"""What every command shares: flags, quiet start-up, one line for each mistake, and the exit codes
of errors.py.
"""

import ast
import errno
import inspect
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from absl import flags

from dlib_tf2.errors import (
    EXIT_DONE,
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    EXIT_USER,
    DlibError,
    UserError,
    first_line,
)
from dlib_tf2.system.quiet import hold_stderr, import_tensorflow

__all__ = ["hold_stderr", "import_tensorflow"]

_INTERRUPTED = "interrupted; run the same command again to resume"
_REMEDIES = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
        ("free space or choose another folder", EXIT_FAILURE),
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        ("allow access to it or choose another path", EXIT_FAILURE),
    ),
    **dict.fromkeys(
        (errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),
        ("choose another path", EXIT_USER),
    ),
}


def define_gin_flags() -> flags.FlagValues:
    """Defines --gin_config, --gin_bindings, --set and --dry_run, which mean the same in every
    command; returns all flags.
    """
    flags.DEFINE_multi_string(
        "gin_config",
        [],
        "gin file, a path or a name under gin_configs, such as models/beta_vae.gin; repeatable,"
        " later ones win",
    )
    define_binding_flags("gin text that wins over the files")
    flags.DEFINE_boolean("dry_run", False, "print the resolved configuration and stop")
    return flags.FLAGS


def define_data_dir() -> None:
    """Defines --data_dir, which means the same in every command."""
    about = "folder of prepared datasets (default: $TFDS_DATA_DIR or ~/tensorflow_datasets)"
    flags.DEFINE_string("data_dir", None, about)


def define_binding_flags(about: str) -> flags.FlagValues:
    """Defines --gin_bindings and --set; `run` adds the settings of --set to FLAGS.gin_bindings.

    Args:
        about: what the bindings do in this command, for the help.
    """
    flags.DEFINE_multi_string(
        "gin_bindings", [], f'{about}, such as --gin_bindings="STEPS = 1000"; repeatable'
    )
    flags.DEFINE_multi_string(
        "set",
        [],
        "the same as words: --set STEPS=200 BETA=8 DATASET=rendered_sprites/small; wins over"
        " --gin_bindings",
    )
    return flags.FLAGS


def run(main: Callable[[], None], required: Sequence[str] = ()) -> NoReturn:
    """Parses the flags, calls `main` and exits; whatever goes wrong becomes one line on stderr and
    an exit code.

    Args:
        main: the command, called without arguments; it reads its flags from absl.
        required: names of flags that must be given a value.
    """
    try:
        code = _run(main, required)
    except KeyboardInterrupt:  # a second signal, while the first was answered
        code = _say(os.path.basename(sys.argv[0]), _INTERRUPTED, EXIT_INTERRUPTED)
    # libraries take seconds to wind down, and print tracebacks
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(code))
    sys.exit(code)


def refuse_flags(beside: str, *names: str) -> None:
    """Refuses flags that would have no effect.

    Raises:
        UserError: one of the named flags was given.
    """
    for name in names:
        if flags.FLAGS[name].present:
            raise UserError(f"--{name} means nothing beside {beside}; leave it out")


def flags_for(function: Callable[..., Any]) -> dict[str, Any]:
    """The values of the flags that are named like parameters of a function, as its arguments."""
    names = inspect.signature(function).parameters
    return {name: flags.FLAGS[name].value for name in names if name in flags.FLAGS}


def _run(main: Callable[[], None], required: Sequence[str]) -> int:
    name = os.path.basename(sys.argv[0])
    try:
        _start(name, main, required)
        sys.stdout.flush()
    except (KeyboardInterrupt, Exception) as error:
        if (explained := _explain(error)) is None:
            raise
        return _say(name, *explained)
    return EXIT_DONE


def _explain(error: BaseException) -> tuple[str, int] | None:
    """The line and the exit code for an error; None for an unexpected one, which keeps its
    traceback.
    """
    cause, text = _behind_gin(error), str(error).strip()
    if isinstance(cause, DlibError):
        # gin appends lines of its own to what passes through a configurable.
        return first_line(error), cause.exit_code
    if isinstance(cause, KeyboardInterrupt):
        return _INTERRUPTED, EXIT_INTERRUPTED
    if isinstance(cause, MemoryError) or _is_tensorflow_out_of_memory(cause):
        shape = re.search(r"OOM when allocating \w+ with shape\[[^\]]*\] and type \w+", text)
        reason = shape[0] if shape else (text or "no details").splitlines()[0]
        return f"out of memory ({reason}); use smaller batches, models or tables", EXIT_FAILURE
    if isinstance(cause, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains once more when it ends
        return "whoever read the output closed it; what was not printed is lost", EXIT_FAILURE
    if isinstance(cause, OSError) and cause.errno in _REMEDIES:
        where, (remedy, code) = os.fsdecode(cause.filename or "the output"), _REMEDIES[cause.errno]
        return f"{cause.strerror}: {where}; {remedy}", code
    if isinstance(cause, RuntimeError) and text.startswith("Required bindings for"):
        # gin raises this one when a configurable is called, long after parsing.
        return f"gin: {first_line(error)}; add them with --gin_bindings", EXIT_USER
    if isinstance(cause, RecursionError) and not os.environ.get("DLIB_TRACEBACK"):
        return (
            (
                "gin: a value contains itself, such as mig.num_bins = @mig; correct it"
                " (DLIB_TRACEBACK=1 shows where it failed)"
            ),
            EXIT_USER,
        )
    # gin names the configurable that an error passed through: most often one of its values has the
    # wrong type.
    inside = re.search(r"In call to configurable '([^']+)'", text)
    if (
        inside
        and isinstance(cause, TypeError | ValueError | AttributeError)
        and not os.environ.get("DLIB_TRACEBACK")
    ):
        # From inside a graph the error comes wrapped in the lines of its code.
        wrapped = re.search(r"^ *(\w+Error: .+)", text, re.MULTILINE)
        return (
            f"gin: {inside[1]}: {wrapped[1] if wrapped else first_line(error)}; correct"
            " what it is given (DLIB_TRACEBACK=1 shows where it failed)",
            EXIT_USER,
        )
    return None


def _behind_gin(error: BaseException) -> BaseException:
    """The error itself: gin re-raises a copy without its fields (errno, filename), one for each
    configurable that it leaves.
    """
    while "ExceptionProxy" in type(error).__init__.__qualname__ and error.__context__ is not None:
        error = error.__context__
    return error


def _is_tensorflow_out_of_memory(error: BaseException) -> bool:
    # not imported here: a process without TensorFlow cannot exhaust TensorFlow's memory
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(error, tensorflow.errors.ResourceExhaustedError)


def _start(name: str, main: Callable[[], None], required: Sequence[str]) -> None:
    """Answers --help, or checks the flags and calls `main`."""
    if {"--help", "-h", "--helpfull", "-help"} & set(sys.argv[1:]):
        print(_help_text(name))
        return
    for path in (*sys.argv[1:], f"the current folder, {_here()},"):
        _refuse_other_encodings(path)
    try:
        rest = flags.FLAGS(_one_word_each(sys.argv))[1:]
    except flags.Error as error:
        raise UserError(f"{' '.join(str(error).split())}; see {name} --help") from error
    if rest:
        raise UserError(
            f"unexpected argument {rest[0]!r}: every option is --flag=value; see {name} --help"
        )
    _expand_home()
    _add_settings()
    missing = [f"--{flag}" for flag in required if not flags.FLAGS[flag].value]
    if missing:
        raise UserError(f"missing required flag {', '.join(missing)}; see {name} --help")
    signal.signal(signal.SIGTERM, _interrupt)
    main()


def _here() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError as error:
        raise UserError("the current folder was deleted; change to one that exists") from error


def _refuse_other_encodings(path: str) -> None:
    """Refuses what is not UTF-8: records are, and TensorFlow's and gin's files take no other path.

    Raises:
        UserError: the path has other bytes, which Python holds as lone surrogates.
    """
    try:
        path.encode()
    except UnicodeEncodeError as error:
        shown = path.encode(errors="surrogateescape").decode(errors="replace")
        raise UserError(
            f"{shown} is not UTF-8; rename the file or folder, or link to it by such a name"
        ) from error


def _one_word_each(arguments: Sequence[str]) -> list[str]:
    """Turns `--set A=1 B=2` into `--set=A=1 --set=B=2`, since absl gives a flag one word.

    Raises:
        UserError: no word follows --set.
    """
    spread, setting = [], False
    for number, word in enumerate(arguments):
        if word in ("--set", "-set"):
            after = arguments[number + 1 : number + 2]
            if not after or after[0].startswith("-"):
                raise UserError(
                    "--set needs at least one NAME=VALUE, such as --set STEPS=200 BETA=8"
                )
            setting = True
            continue
        setting = setting and not word.startswith("-")
        spread.append(f"--set={word}" if setting else word)
    return spread


def _add_settings() -> None:
    """Makes the settings of --set the last of FLAGS.gin_bindings."""
    if settings := "set" in flags.FLAGS and flags.FLAGS["set"].value:
        bindings = flags.FLAGS["gin_bindings"]
        bindings.value = [*flags.FLAGS.gin_bindings, *map(_binding, settings)]


def _binding(setting: str) -> str:
    """The gin text of a setting such as "STEPS=200"; a value that is not a gin literal becomes a
    string.

    Args:
        setting: NAME=VALUE, NAME a macro or a parameter such as dci.num_train; VALUE a literal of
            Python, a reference (@) or macro (%), or else text: DATASET=rendered_sprites/small.

    Raises:
        UserError: it has another form.
    """
    match = re.fullmatch(r"\s*([A-Za-z_][\w./]*)\s*=\s*(\S.*?)\s*", setting, re.DOTALL)
    if match is None:
        raise UserError(f"--set {setting!r} is no setting; expected NAME=VALUE, such as STEPS=200")
    name, value = match.groups()
    if not value.startswith(("@", "%")):
        try:
            ast.literal_eval(value)
        except (ValueError, SyntaxError):
            value = repr(value)
    return f"{name} = {value}"


def _interrupt(number: int, frame: object) -> None:
    """SIGTERM ends a command as Ctrl-C does; training, which saves first, sets its own handler
    while it runs.
    """
    raise KeyboardInterrupt


def _expand_home() -> None:
    """Makes ~ mean the home folder: a shell expands it in `--flag ~/x` but not in `--flag=~/x`,
    which would make a folder named ~.
    """
    for name in flags.FLAGS:
        value = flags.FLAGS[name].value
        if isinstance(value, str) and value.startswith("~"):
            flags.FLAGS[name].value = os.path.expanduser(value)
        elif name == "gin_config" and value:
            flags.FLAGS[name].value = [os.path.expanduser(file) for file in value]


def _help_text(name: str) -> str:
    main = sys.modules["__main__"]
    lines = [(main.__doc__ or "").strip(), "", f"Flags of {name}:"]
    for module in (sys.argv[0], __name__):
        for flag in sorted(flags.FLAGS.get_flags_for_module(module), key=lambda flag: flag.name):
            default = (
                ""
                if flag.default in (None, [], False, "")
                else f" (default: {flag.default_as_str})"
            )
            lines.append(f"  --{'[no]' if flag.boolean else ''}{flag.name}: {flag.help}{default}")
    return "\n".join(lines)


def _say(name: str, message: str, code: int) -> int:
    print(f"{name}: {' '.join(message.split())}", file=sys.stderr)
    return code
