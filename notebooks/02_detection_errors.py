# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2. Which errors cost the detector most?
# One number (AP) hides six kinds of error. TIDE asks of each kind: how much would AP gain if only this one were mended? What costs
# most is worth working at first; what costs nothing is not, however often it occurs.

# %%
# A run with predictions (train, evaluate or benchmark); of several that fit the newest is taken.
RUN = "logs/quickstart/*/detection"

# %%
import os
import warnings

import pandas as pd
from IPython.display import Markdown

# %matplotlib inline
warnings.filterwarnings("ignore", message="IProgress not found")

from facings.analysis.curve_figures import draw_calibration, draw_f1_score
from facings.analysis.curves import match_split
from facings.analysis.detection_errors import judge, worst_pictures
from facings.analysis.error_figures import draw_slices, draw_tide
from facings.analysis.error_sheets import draw_judged
from facings.analysis.findings import findings_of_gains
from facings.analysis.next_steps import steps_as_markdown
from facings.analysis.tide import tide
from facings.commands.analyze_detector import detector_slices
from facings.commands.opened_run import newest, open_detector, project_home

os.chdir(project_home())
run = open_detector(newest(os.environ.get("FACINGS_RUN", RUN)))
Markdown(
    f"**{run.folder.name}**: {len(run.table.images)} pictures, {len(run.truth['annotations'])} objects, {len(run.predictions)} detections"
)

# %% [markdown]
# ## What AP would gain
# Left: points of AP gained if one kind were mended. Right: how many there are. The last two bars are the ceiling: all false
# detections sorted last, and all lost objects taken out.

# %%
found = tide(run.truth, run.predictions)
draw_tide({"boxes": found})

# %% [markdown]
# ## Where it is weak
# The same detector, cut by what makes a shelf hard. A bar far below its neighbours says what to collect more of, or what to turn up
# (input size, tiles). In brackets: objects; few of them make a bar that can be chance.

# %%
slices = detector_slices(run.table, run.truth, run.predictions)
draw_slices(slices, value="ap50", title="AP by kind of object or picture", below="AP at IoU 0.5")

# %% [markdown]
# ## Which score to cut at
# A store runs at one threshold. F1 is best where precision and recall balance; a shop that fears a missed product more than a false
# one cuts lower. Then: is a score of 0.8 right in eight of ten cases?

# %%
hits = match_split(run.truth, run.predictions)
draw_f1_score({"boxes": hits})

# %%
draw_calibration({"boxes": hits})

# %% [markdown]
# ## The worst pictures
# At the threshold of best F1. Yellow and dashed: missed; pink: false; blue: doubled; orange: wrong class.

# %%
best = hits.best()
judged = [judge(pair, score=best.threshold if best.threshold == best.threshold else 0.5) for pair in run.pairs]
worst = worst_pictures(judged, 4)
draw_judged(worst, run.read, run.table.labels, f"The worst pictures, at score {best.threshold:.3g}")

# %%
pd.DataFrame([{"picture": p.pair.name, "F1": round(p.f1, 2), "objects": len(p.fates), "why": p.reason} for p in worst])

# %% [markdown]
# ## What to do next

# %%
Markdown(steps_as_markdown(findings_of_gains(found.gains, found.counts)))
