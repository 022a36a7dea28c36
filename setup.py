"""Extension building only; everything else stands in pyproject.toml."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

NATIVE = Path("native")

# Modules that link kernels of others beside their own.
BORROWED = {"ingest": ("blake3", "chunker")}


def extension(pyx: Path) -> Extension:
    """Describe one native module: x.pyx and, beside it, the kernels x_impl*.c."""
    owners = (pyx.stem, *BORROWED.get(pyx.stem, ()))
    kernels = sorted(str(path) for owner in owners for path in NATIVE.glob(f"{owner}_impl*.c"))
    return Extension(
        f"native.{pyx.stem}",
        [str(pyx), *kernels],
        include_dirs=[str(NATIVE)],
        depends=[str(path) for path in NATIVE.glob("*.h")],
        extra_compile_args=["-O3", "-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-parameter"],
    )


setup(
    ext_modules=cythonize(
        [extension(pyx) for pyx in sorted(NATIVE.glob("*.pyx"))],
        compiler_directives={"language_level": "3", "boundscheck": False, "wraparound": False},
    )
)
