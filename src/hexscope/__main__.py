"""``python -m hexscope``."""

from __future__ import annotations

import sys

from hexscope.cli import main

sys.exit(main())
