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
# # 3. Do the outlines fit?
# Irregular goods touch and overlap; a crop cut by an outline shows one product where a box shows two. This page asks what is lost
# between a box that fits and an outline that fits. A detector without masks is asked what it lacks: each of its boxes is then
# taken as an outline.

# %%
# A run with predictions on pictures with outlines; of several that fit the newest is taken.
RUN = "logs/quickstart/*/detection"

# %%
import os
import warnings

import pandas as pd
from IPython.display import Markdown

# %matplotlib inline
warnings.filterwarnings("ignore", message="IProgress not found")

from facings.analysis.comparison import pair_pictures
from facings.analysis.curves import match_split
from facings.analysis.detection_errors import judge
from facings.analysis.error_figures import draw_tide
from facings.analysis.error_sheets import draw_judged
from facings.analysis.mask_agreement import boxes_as_masks, mask_agreement, worst_outlines
from facings.analysis.next_steps import steps_as_markdown, steps_of_masks
from facings.analysis.spread_figures import draw_agreement
from facings.analysis.tide import tide
from facings.commands.opened_run import newest, open_detector, project_home

os.chdir(project_home())
run = open_detector(newest(os.environ.get("FACINGS_RUN", RUN)), outlined=True)
has_masks = "masks" in run.kinds
predictions = run.predictions if has_masks else boxes_as_masks(run.predictions)
Markdown(
    f"**{run.folder.name}**: "
    + ("the detector has masks." if has_masks else "no masks; **each box stands for an outline**.")
)

# %% [markdown]
# ## Boxes and masks side by side
# The same detections, judged twice. Where `localisation` costs more with masks than with boxes, the outline is at fault and not the
# place.

# %%
tides = {"boxes": tide(run.truth, predictions), "masks": tide(run.truth, predictions, kind="masks")}
draw_tide(tides)

# %% [markdown]
# ## How well they fit
# Of the objects whose box was found. Below the dashed line an outline would not count as found at all. Small objects have few
# pixels: a mask one pixel too wide already costs them much.

# %%
pairs = pair_pictures(run.truth, predictions)
score = match_split(run.truth, predictions).best().threshold
score = score if score == score else 0.5
agreement = mask_agreement(pairs, score=score)
draw_agreement(agreement, title="How well outlines fit where boxes do")

# %%
pd.DataFrame(agreement.by_class(run.table.labels)).round(3)

# %% [markdown]
# ## Pictures with the worst outlines
# Judged by masks: a box that fits with an outline that does not is `false` here, and its object `missed`.

# %%
worst = [judge(pair, score=score, kind="masks") for pair in worst_outlines(pairs, agreement, 4)]
draw_judged(worst, run.read, run.table.labels, "Where outlines fit worst")

# %% [markdown]
# ## What to do next

# %%
steps = steps_of_masks(
    tides["boxes"].ap, tides["masks"].ap, int(agreement.lost.sum()), len(agreement.masks), has_masks=has_masks
)
Markdown(steps_as_markdown(steps))
