"""What every command shares: flags, quiet start-up, one line for each mistake, and the exit codes of errors.py."""

import errno
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import flags

from dlib_tf2.errors import EXIT_DONE, EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_USER, DlibError, UserError
from dlib_tf2.quiet import hold_stderr, import_tensorflow

__all__ = ["define_gin_flags", "hold_stderr", "import_tensorflow", "refuse_flags", "run"]

_FOLDER_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG)


def define_gin_flags() -> flags.FlagValues:
    """Defines --gin_config, --gin_bindings, --set and --dry_run, which mean the same in every command; returns all flags."""
    flags.DEFINE_multi_string(
        "gin_config", [], "gin file, a path or a name under gin_configs, such as models/beta_vae.gin; repeatable, later ones win"
    )
    define_binding_flags("gin text that wins over the files")
    flags.DEFINE_boolean("dry_run", False, "print the resolved configuration and stop")
    return flags.FLAGS


def define_binding_flags(about: str) -> flags.FlagValues:
    """Defines --gin_bindings and --set; `run` adds the settings of --set to FLAGS.gin_bindings.

    Args:
        about: what the bindings do in this command, for the help.
    """
    flags.DEFINE_multi_string("gin_bindings", [], f'{about}, such as --gin_bindings="STEPS = 1000"; repeatable')
    flags.DEFINE_multi_string(
        "set", [], "the same as words: --set STEPS=200 BETA=8 DATASET=rendered_sprites/small; wins over --gin_bindings"
    )
    return flags.FLAGS


def run(main: Callable[[], None], required: Sequence[str] = ()) -> NoReturn:
    """Parses the flags, calls `main` and exits; whatever goes wrong becomes one line on stderr and an exit code.

    Args:
        main: the command, called without arguments; it reads its flags from absl.
        required: names of flags that must be given a value.
    """
    sys.exit(_run(main, required))


def refuse_flags(beside: str, *names: str) -> None:
    """Refuses flags that would be passed over in silence.

    Raises:
        UserError: one of the named flags was given.
    """
    for name in names:
        if flags.FLAGS[name].present:
            raise UserError(f"--{name} means nothing beside {beside}; leave it out")


def _run(main: Callable[[], None], required: Sequence[str]) -> int:
    name = os.path.basename(sys.argv[0])
    try:
        _start(name, main, required)
        sys.stdout.flush()
    except DlibError as error:
        # gin appends lines of its own to what passes through a configurable.
        return _say(name, (str(error).strip() or type(error).__name__).splitlines()[0], error.exit_code)
    except (TypeError, ValueError, AttributeError) as error:
        # gin names the configurable that an error passed through: most often one that was given a value of a wrong kind.
        inside = re.search(r"In call to configurable '([^']+)'", str(error))
        if inside is None or os.environ.get("DLIB_TRACEBACK"):
            raise
        # From inside a graph the error comes wrapped in the lines of its code.
        reason = re.search(r"^ *(\w+Error: .+)", str(error), re.MULTILINE) or re.match(r"(.*)", str(error))
        reason = f"gin: {inside[1]}: {reason[1]}"
        return _say(name, f"{reason}; correct what it is given (DLIB_TRACEBACK=1 shows where it failed)", EXIT_USER)
    except KeyboardInterrupt:
        return _say(name, "interrupted; run the same command again to resume", EXIT_INTERRUPTED)
    except MemoryError as error:
        return _say(name, f"out of memory ({error}); use smaller batches", EXIT_FAILURE)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains once more when it ends
        return _say(name, "whoever read the output closed it; what was not printed is lost", EXIT_FAILURE)
    except OSError as error:
        if error.errno not in _FOLDER_ERRORS:
            raise
        return _say(name, f"{error.strerror}: {error.filename or 'the output'}; free space or choose another folder", EXIT_FAILURE)
    except RuntimeError as error:
        # gin raises this one when a configurable is called, long after parsing.
        if not str(error).startswith("Required bindings for"):
            raise
        return _say(name, f"gin: {str(error).splitlines()[0]}; add them with --gin_bindings", EXIT_USER)
    return EXIT_DONE


def _start(name: str, main: Callable[[], None], required: Sequence[str]) -> None:
    """Answers --help, or checks the flags and calls `main`."""
    if {"--help", "-h", "--helpfull", "-help"} & set(sys.argv[1:]):
        print(_help_text(name))
        return
    try:
        rest = flags.FLAGS(_one_word_each(sys.argv))[1:]
    except flags.Error as error:
        raise UserError(f"{' '.join(str(error).split())}; see {name} --help") from error
    if rest:
        raise UserError(f"unexpected argument {rest[0]!r}: every option is --flag=value; see {name} --help")
    _expand_home()
    _add_settings()
    missing = [f"--{flag}" for flag in required if not flags.FLAGS[flag].value]
    if missing:
        raise UserError(f"missing required flag {', '.join(missing)}; see {name} --help")
    signal.signal(signal.SIGTERM, _interrupt)
    main()


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
                raise UserError("--set needs at least one NAME=VALUE, such as --set STEPS=200 BETA=8")
            setting = True
            continue
        setting = setting and not word.startswith("-")
        spread.append(f"--set={word}" if setting else word)
    return spread


def _add_settings() -> None:
    """Makes the settings of --set the last of FLAGS.gin_bindings."""
    if settings := "set" in flags.FLAGS and flags.FLAGS["set"].value:
        from dlib_tf2.gin_text import binding  # here, so that --help stays fast

        flags.FLAGS.gin_bindings = [*flags.FLAGS.gin_bindings, *map(binding, settings)]


def _interrupt(number: int, frame: object) -> None:
    """SIGTERM ends a command as Ctrl-C does; training, which saves first, sets its own handler while it runs."""
    raise KeyboardInterrupt


def _expand_home() -> None:
    """Makes ~ mean the home folder: a shell expands it in `--flag ~/x` but not in `--flag=~/x`, which would make a folder named ~."""
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
            default = "" if flag.default in (None, [], False, "") else f" (default: {flag.default_as_str})"
            lines.append(f"  --{'[no]' if flag.boolean else ''}{flag.name}: {flag.help}{default}")
    return "\n".join(lines)


def _say(name: str, message: str, code: int) -> int:
    print(f"{name}: {' '.join(message.split())}", file=sys.stderr)
    return code
