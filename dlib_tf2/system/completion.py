"""Shell completion of all commands: flags come from each command's --help, names from dlib_list.

The script asks a command for its flags at the first TAB and keeps them for the session.
"""

import pathlib

# Maps each flag to the list of dlib_list that completes its value.
VALUES = {
    "dataset": "datasets",
    "gin_config": "gin_files",
    "metrics": "metrics",
    "names": "kinds",
    "study": "studies",
    "what": "kinds",
}


def script(shell: str) -> str:
    """The script to source.

    Args:
        shell: "bash" or "zsh".
    """
    text = pathlib.Path(__file__).with_name("completion.bash").read_text(encoding="utf-8")
    names = "\n".join(
        f"        --{flag}) words=$(_dlib_names {kind}) ;;" for flag, kind in VALUES.items()
    )
    zsh = (
        "(( $+functions[compdef] )) || { autoload -U compinit && compinit -i }\nautoload -U +X"
        " bashcompinit && bashcompinit\n"
    )
    first = zsh if shell == "zsh" else ""
    return first + text.replace("        # VALUES", names).rstrip()
