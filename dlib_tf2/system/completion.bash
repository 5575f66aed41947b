# Completion of dlib_* commands: source <(dlib_list --completion=bash)

_dlib_help() {  # COMMAND: its flags, asked once: "--name=" or, for what takes no value, "--name"
    local key="_dlib_help_$1"
    if eval "[ -z \"\${$key-}\" ]"; then
        local found
        found=$("$1" --help 2>/dev/null | sed -nE 's/^  --\[no\]([a-z_]+): .*/--\1/p; s/^  --([a-z_]+): .*/--\1=/p')
        eval "$key=\$found"
    fi
    eval "printf '%s\n' \"\${$key}\""
}

_dlib_choices() {  # COMMAND FLAG: the values of a flag whose help begins with <a|b|c>
    "$1" --help 2>/dev/null | sed -nE "s/^  $2: <([^>]*)>.*/\1/p" | tr '|' '\n'
}

_dlib_names() {  # KIND: names of a list, asked once
    local key="_dlib_names_$1"
    if eval "[ -z \"\${$key-}\" ]"; then
        local found
        found=$(dlib_list --names="$1" 2>/dev/null)
        eval "$key=\$found"
    fi
    eval "printf '%s\n' \"\${$key}\""
}

_dlib() {
    local command=$1 word=$2 flag="" words="" before=""
    # Bash cuts words at "=": --study=x is three of them.
    if [ "$word" = "=" ]; then
        flag=${COMP_WORDS[COMP_CWORD - 1]} word=""
    elif [ "$COMP_CWORD" -ge 2 ] && [ "${COMP_WORDS[COMP_CWORD - 1]}" = "=" ]; then
        flag=${COMP_WORDS[COMP_CWORD - 2]}
    elif [[ $word == --*=* ]]; then # where "=" does not cut words
        flag=${word%%=*} before="${word%%=*}=" word=${word#*=}
    fi
    case $flag in
        "") words=$(_dlib_help "$command") ;;
        # VALUES
        *) words=$(_dlib_choices "$command" "$flag") ;;
    esac
    if [ -n "$flag" ] && [ -z "$words" ]; then
        COMPREPLY=($(compgen -P "$before" -f -- "$word"))
        compopt -o filenames 2>/dev/null
        return
    fi
    if [ -n "$flag" ] && [[ $word == *,* ]]; then # the last name of a list
        before="$before${word%,*}," word=${word##*,}
    fi
    COMPREPLY=($(compgen -P "$before" -W "$words" -- "$word"))
    if [ "${#COMPREPLY[@]}" = 1 ] && [[ ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace 2>/dev/null
    fi
}

complete -F _dlib $(compgen -c | grep -E '^dlib_[a-z_]+$' | sort -u)
