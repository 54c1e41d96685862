"""Take a headline record of the embedder again from finished runs: `python scripts/embedder_records.py emb-grocery logs/grocery`.

emb-grocery RUN [RUN_OF_ANOTHER_SEED …]; emb-packshot RUN; emb-unseen RUN_OF_A_HOLDOUT …; emb-snack RUN; synth-reid RUN.
docs/embedder.md lists the trainings.
"""

import sys

from facings.commands.embedder_records import RECORDS
from facings.commands.run_records import main

if __name__ == "__main__":
    sys.exit(main("embedder_records", __doc__, RECORDS))
