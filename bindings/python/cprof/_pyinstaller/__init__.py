"""PyInstaller looks here (by the entry point of its name) for what imports alone do not show."""

import os


def get_hook_dirs():
    return [os.path.dirname(__file__)]
