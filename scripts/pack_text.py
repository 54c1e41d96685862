"""What reading packs brings to R@1: `python scripts/pack_text.py emb-text RUN`.

RUN is the folder of an embedder's run on the Grocery Store Dataset; snack_shelves lies beside it. Wants `pip install
facings[text]`; about a thousand crops are read, half a second each.
"""

import sys

from facings.commands.pack_text import RECORDS
from facings.commands.run_records import main

if __name__ == "__main__":
    sys.exit(main("pack_text", __doc__, RECORDS))
