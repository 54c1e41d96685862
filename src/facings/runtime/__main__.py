"""`python -m facings.runtime VERB …`: the store's verbs without the research command."""

import sys

from facings.runtime.cli import main

sys.exit(main())
