#!/bin/sh
# Sets up one of: build (the sidegate command in .venv), test, check (what those targets need), aws (the
# AWS CLI in an environment of its own, so that its botocore is not ours). Called by the Makefile.
set -eu

python=${PYTHON:-python3}
what=$1

say() { printf '%s\n' "$*"; }

# Debian packages without which nothing can be built; installed when we may, named when we may not.
missing() {
    command -v "$python" >/dev/null 2>&1 || { printf ' python3'; return; }
    "$python" -c 'import ensurepip, venv' 2>/dev/null || printf ' python3-venv'
    "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' || printf ' python3-dev'
    command -v cc >/dev/null 2>&1 || printf ' gcc libc6-dev'
}

need=$(missing)
if [ -n "$need" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing:$need"
        apt-get update -q
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $need
    else
        say "sidegate needs these packages, and only root can install them:$need" >&2
        say "run: sudo apt-get install$need" >&2
        exit 1
    fi
fi

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    say "sidegate needs Python 3.11 or newer; $python is $("$python" -V 2>&1)" >&2
    say "set PYTHON to a newer one: make PYTHON=python3.12 ..." >&2
    exit 1
fi

environment() {
    # An environment whose interpreter is gone or too old is made anew.
    "$1/bin/python" -c '' 2>/dev/null || { rm -rf "$1"; "$python" -m venv "$1"; }
}

quiet_pip() {
    directory=$1
    shift
    # What pip and the compiler say is shown only when they fail.
    "$directory/bin/python" -m pip --disable-pip-version-check install "$@" >"$directory/setup.log" 2>&1 || {
        cat "$directory/setup.log" >&2
        say "pip could not install: $*; what it said is above" >&2
        exit 1
    }
}

case $what in
build)
    say "setting up .venv and building the native modules"
    environment .venv
    quiet_pip .venv --editable .
    touch .venv/.built
    ;;
test | check)
    say "installing what 'make $what' needs"
    quiet_pip .venv --editable ".[$what]"
    touch ".venv/.${what}ed"
    ;;
aws)
    say "installing the AWS CLI into .venv-aws"
    environment .venv-aws
    quiet_pip .venv-aws --upgrade awscli
    touch .venv-aws/.installed
    ;;
*)
    say "setup.sh: unknown step $what" >&2
    exit 2
    ;;
esac
