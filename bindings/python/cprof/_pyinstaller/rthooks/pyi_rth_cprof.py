"""A bundle has no site-packages whose .pth file would look at CPROF_ENABLED."""

import _cprof_autostart

_cprof_autostart.run()
