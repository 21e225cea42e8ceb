"""The libraries beside the extension are loaded by their path, when something is to be sent."""

from PyInstaller.utils.hooks import collect_dynamic_libs

binaries = collect_dynamic_libs("cprof")
hiddenimports = ["_cprof_autostart", "cprof._autostart"]
