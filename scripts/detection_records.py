"""Take a headline record of the detector again from finished runs: `python scripts/detection_records.py det-snack logs/snack`.

det-snack RUN; det-ai231 RUN MASK_RCNN_RUN; det-produce TOMATO_RUN FRUITS_RUN NUTS_RUN. Runs are made by `facings train
experiment=detection/NAME paths.data_dir=DATA hydra.run.dir=RUN`; docs/detection.md lists the commands.
"""

import sys

from facings.commands.detection_records import RECORDS
from facings.commands.run_records import main

if __name__ == "__main__":
    sys.exit(main("detection_records", __doc__, RECORDS))
