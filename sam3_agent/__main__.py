"""`python -m sam3_agent`: the terminal front door."""

import sys

from sam3_agent.cli.main import main

sys.exit(main())
