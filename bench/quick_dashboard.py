"""How does an hour of a page fit into minutes? The dashboard, with its pages read and painted again without a pause."""

from __future__ import annotations

import sys

from dashboards.live import __main__, source, view

view.TICK_MS = 20
view.BETWEEN_S = 0.0
view.ANYWAY_S = 0.0
source.FRESH_S = 0.0

if __name__ == "__main__":
    sys.exit(__main__.main())
