"""Tab completion of `python -m translate ...`.

Hydra finds the words; only the shell function is ours, since Hydra's own knows scripts but not `python -m`.
"""

import os
from collections.abc import Sequence

_INSTALL = r"""_translate_complete()
{
    local line="${COMP_LINE:0:$COMP_POINT}" rest
    local -a program
    case "$line" in
        *" -m translate "*) program=("${COMP_WORDS[0]}" -m translate); rest="${line#* -m translate }" ;;
        *) return ;;
    esac
    local choices
    choices=$(COMP_LINE="translate $rest" COMP_POINT=$((${#rest} + 10)) \
        "${program[@]}" -sc query=bash 2> /dev/null)
    COMPREPLY=($(compgen -W "$choices" -- "${rest##* }"))
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o nospace -o default -F _translate_complete python python3
"""
_INSTALL_ZSH = "autoload -Uz bashcompinit && bashcompinit\n" + _INSTALL
_UNINSTALL = "unset -f _translate_complete\ncomplete -r python python3\n"

_COMMANDS = ("train", "show", "list", "download")  # completed when they are the first word


def answer_completion(overrides: Sequence[str]) -> bool:
    """Print the shell code of `-sc install=SHELL`; for a query prepare the line that Hydra completes.

    Returns False if Hydra shall go on.
    """
    scripts = {
        "install=bash": _INSTALL,
        "install=zsh": _INSTALL_ZSH,
        "uninstall=bash": _UNINSTALL,
        "uninstall=zsh": _UNINSTALL,
    }
    for word in overrides:
        if word in scripts:
            print(scripts[word], end="")
            return True
    words = os.environ.get("COMP_LINE", "").split(" ")
    if len(words) == 2:
        print(" ".join(command for command in _COMMANDS if command.startswith(words[1])))
    elif len(words) > 2 and words[1] == "download":  # its words are not those of a configuration
        from translate.commands.download import words_to_complete

        print(" ".join(words_to_complete()))
        return True
    elif len(words) > 2 and words[1] in _COMMANDS:
        os.environ["COMP_LINE"] = " ".join([words[0], *words[2:]])
    return False
