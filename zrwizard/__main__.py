"""`python -m zrwizard` is the same as the `zrwizard` command."""

import sys

from zrwizard.cli import main

sys.exit(main())
