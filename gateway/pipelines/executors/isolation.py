"""How far attempts can be kept apart on this machine: found out once, by trying.

    root            unshare --mount --pid --fork, /proc and /tmp and /pfs private
    user namespaces the same below `--user --map-root-user`
    neither         TMPDIR and PFS_ROOT say where the private folders are, and a notice says why

Where a fresh /proc is refused (a container in a container), the pid namespace is left out, for
programs that look themselves up in /proc would find somebody else there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PFS = "/pfs"
TMP = "/tmp"
_COPY_MAX = 64 * 1024 * 1024  # of a file that the command names
_PROGRAMS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Isolation:
    """One way to start a launcher."""

    prefix: tuple[str, ...]  # the `unshare` command line, or nothing
    mounts: bool  # private /tmp, and /pfs where it exists
    pids: bool  # a pid namespace with its own /proc
    pfs: bool  # /pfs can be had
    notices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it is called in tests and logs."""
        kind = "pids" if self.pids else "mounts" if self.mounts else "plain"
        return f"user-{kind}" if "--user" in self.prefix else kind


def candidates() -> list[Isolation]:
    """Return the ways worth trying here, best first; the last always works."""
    plain = Isolation((), mounts=False, pids=False, pfs=False, notices=(_notice("is refused"),))
    program = shutil.which("unshare", path=_PROGRAMS)
    if program is None:
        missing = "needs unshare (package util-linux)"
        return [Isolation((), mounts=False, pids=False, pfs=False, notices=(_notice(missing),))]
    pfs = _have_pfs()
    notices = () if pfs else (f"{PFS} cannot be made here; PFS_ROOT says where files are",)
    found: list[Isolation] = []
    user = ("--user", "--map-root-user")
    for who in [(), user] if os.geteuid() == 0 else [user]:  # root in a container may lack rights
        mount = (program, *who, "--mount", "--propagation", "private")
        pid = ("--pid", "--fork", "--kill-child")
        found += [
            Isolation((*mount, *pid, "--"), mounts=True, pids=True, pfs=pfs, notices=notices),
            Isolation((*mount, "--"), mounts=True, pids=False, pfs=pfs, notices=notices),
        ]
    return [*found, plain]


def _notice(why: str) -> str:
    return (
        f"{TMP} is shared and {PFS} is not there, for a private one {why} on this machine: "
        "TMPDIR and PFS_ROOT say where this job's own folders are"
    )


def _have_pfs() -> bool:
    if os.path.isdir(PFS):
        return True
    try:
        os.mkdir(PFS, 0o755)
    except OSError:
        return False
    return True


def binds(isolation: Isolation, folders: Mapping[str, str], path: str) -> Sequence[tuple[str, str]]:
    """Return what to mount where for an attempt with these folders (tmp, pfs, home).

    A private /tmp hides what is really there. So the attempt's own folders are mounted back in
    their places when the data directory is below /tmp, and so are the programs that PATH names.
    """
    if not isolation.mounts:
        return []
    pairs = [(folders["tmp"], TMP)]
    kept = [folders["home"], folders["pfs"], *_programs(path)]
    pairs += [(each, each) for each in kept if _below_tmp(each)]
    if isolation.pfs:
        pairs.append((folders["pfs"], PFS))
    return pairs


def copy_named_files(argv: Sequence[str], tmp: str) -> None:
    """Copy the files below the real /tmp that a command names, such as its script, into `tmp`.

    A copy, not a mount: what the code does to it stays in the attempt.
    """
    for word in argv[1:]:
        path = os.path.normpath(word)
        if not _below_tmp(path) or not os.path.isfile(path):
            continue
        if os.path.getsize(path) <= _COPY_MAX:
            target = os.path.join(tmp, os.path.relpath(path, TMP))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(path, target)


def _programs(path: str) -> list[str]:
    """Return the folders below /tmp that PATH needs: of `x/bin`, x, for what lies beside it."""
    roots: list[str] = []
    for entry in path.split(os.pathsep):
        folder = os.path.normpath(entry) if os.path.isabs(entry) else ""
        if not folder or not _below_tmp(folder) or not os.path.isdir(folder):
            continue
        parent = os.path.dirname(folder)
        root = parent if os.path.basename(folder) == "bin" and _below_tmp(parent) else folder
        if not any(root == each or root.startswith(each + "/") for each in roots):
            roots.append(root)
    return roots


def _below_tmp(path: str) -> bool:
    return path.startswith(TMP + "/")
