"""Builds the extension and the native files beside it with CMake; everything else is in
pyproject.toml."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
CLONE = HERE.parent.parent
CORE_PARTS = ("CMakeLists.txt", "LICENSE", "NOTICE", "cmake", "core", "cli", "proto")
STARTERS = ("cprof-autostart.pth", "cprof-autostart.start")


def need(command, package):
    if not shutil.which(command):
        sys.exit(f"cprof: the build lacks what Debian has as: apt install {package}")


def run(command):
    """What stops it is the last line, not a traceback of ours."""
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    sys.stderr.write(done.stderr)
    if done.returncode != 0:
        lacks = [line for line in done.stderr.splitlines() if line.startswith("cprof: ")]
        sys.exit(lacks[-1] if lacks else f"cprof: {command[0]} failed")


def drop_foreign_cache(build):
    """CMake refuses a build folder that came along with a copy of the clone."""
    cache = build / "CMakeCache.txt"
    if cache.exists() and f"CMAKE_HOME_DIRECTORY:INTERNAL={HERE}\n" not in cache.read_text():
        shutil.rmtree(build)


class BuildWithCMake(build_ext):
    def build_extension(self, extension):
        package = Path(self.get_ext_fullpath(extension.name)).resolve().parent
        build = Path(self.build_temp).resolve() / "cmake"
        drop_foreign_cache(build)
        build.mkdir(parents=True, exist_ok=True)
        paths = sysconfig.get_paths()
        need("cmake", "cmake")
        need(os.environ.get("CC", "cc").split()[0], "build-essential")
        run([
            "cmake", "-S", str(HERE), "-B", str(build), *self.generator(),
            "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
            f"-DCPROF_PYTHON_INCLUDE={paths['include']};{paths['platinclude']}",
            f"-DCPROF_PYTHON_SUFFIX={sysconfig.get_config_var('EXT_SUFFIX')}",
            f"-DCPROF_PYTHON_OUTPUT={package}"])
        run(["cmake", "--build", str(build), "--target", "cprof_python", "--parallel",
             str(os.cpu_count() or 1)])

    @staticmethod
    def generator():
        return ["-G", "Ninja"] if shutil.which("ninja") else []


class BuildWithStarters(build_py):
    """The auto-start files belong beside the package, at the root of site-packages."""

    def run(self):
        super().run()
        if not self.editable_mode_on():
            for name in STARTERS:
                self.copy_file(str(HERE / name), os.path.join(self.build_lib, name))

    def editable_mode_on(self):
        return getattr(self, "editable_mode", False)

    def get_outputs(self, *arguments, **keywords):
        outputs = super().get_outputs(*arguments, **keywords)
        return outputs + [os.path.join(self.build_lib, name) for name in STARTERS]


class SelfContainedSource(sdist):
    """A source distribution carries the core along, as core-src."""

    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        source = HERE / "core-src"
        for part in CORE_PARTS:
            original = (source if source.is_dir() else CLONE) / part
            copy = Path(base_dir) / "core-src" / part
            if original.is_dir():
                shutil.copytree(original, copy, dirs_exist_ok=True)
            elif original.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(original, copy)


class NativeDistribution(Distribution):
    def has_ext_modules(self):
        return True


# A package without its native parts, which packaging/release builds for other platforms.
BARE = "CPROF_SKIP_BUILD" in os.environ

setup(distclass=NativeDistribution,
      ext_modules=[] if BARE else [Extension("cprof._cprof", sources=[])],
      cmdclass={"build_ext": BuildWithCMake, "build_py": BuildWithStarters,
                "sdist": SelfContainedSource})
