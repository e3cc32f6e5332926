"""Take the pictures in this directory again: `make screenshots`."""

import sys

from medback_tui.screenshots import main

sys.exit(main())
