"""Makes a wheel for one Python and one platform out of the wheel without native parts.

    wheel.py SKELETON NATIVE PYTHON PLATFORM OUTPUT

SKELETON is the folder with that wheel, NATIVE holds what goes into the package beside its
modules, PYTHON is "cp311", PLATFORM one or more platform tags joined by ".". The format is that of
the Binary Distribution Format specification; the `wheel` tool writes it.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile


def main(skeleton, native, python, platform, output):
    (source,) = pathlib.Path(skeleton).glob("*.whl")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "wheel", "unpack", "-d", folder, source], check=True,
                       stdout=subprocess.DEVNULL)
        (tree,) = pathlib.Path(folder).iterdir()
        shutil.copytree(native, tree / "cprof", dirs_exist_ok=True)
        (about,) = tree.glob("*.dist-info/WHEEL")
        tags = "".join(f"Tag: {python}-{python}-{one}\n" for one in platform.split("."))
        text = re.sub(r"^(Tag|Root-Is-Purelib): .*\n", "", about.read_text(), flags=re.MULTILINE)
        about.write_text(f"{text.rstrip()}\nRoot-Is-Purelib: false\n{tags}")
        subprocess.run([sys.executable, "-m", "wheel", "pack", "-d", output, tree], check=True,
                       stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(*sys.argv[1:])
