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
# # 7. Is B better than A, or only luckier?
# Two intervals that overlap say little, since hard pictures are hard for both. Here the *difference* is drawn, in pairs over the same
# pictures. Runs on other data, other settings or another version of the protocol are refused, with the reason.

# %%
# Finished runs of facings benchmark or evaluate, the first is what others are held against: folders, or a pattern. Where only one
# fits, it is held against itself with its unsure boxes left out: what would a stricter score threshold do?
RUNS = ["logs/quickstart/*/benchmark"]
STRICTER = 0.5

# %%
import os
import warnings

import pandas as pd
from IPython.display import Markdown

# %matplotlib inline
warnings.filterwarnings("ignore", message="IProgress not found")

from facings.analysis.cost_figures import draw_differences
from facings.analysis.detection_errors import judge
from facings.analysis.error_sheets import draw_judged
from facings.analysis.next_steps import steps_as_markdown, steps_of_verdicts
from facings.analysis.pareto_figure import draw_pareto
from facings.benchmark.verdict import verdicts
from facings.commands.compare import COSTS, SHOWN, TIMES, common_cost, notes_of, points, same_clock
from facings.commands.opened_run import open_detector, project_home
from facings.commands.opened_sides import most_changed, open_sides

os.chdir(project_home())
patterns = os.environ["FACINGS_RUN"].split(os.pathsep) if "FACINGS_RUN" in os.environ else RUNS
opened = open_sides(patterns, stricter=STRICTER)
runs, sides = opened.runs, opened.sides
Markdown(
    f"Against **{sides[0].name}**: "
    + ", ".join(f"**{side.name}**" for side in sides[1:])
    + "".join(f"\n- left out, {reason}" for reason in opened.left_out)
)

# %% [markdown]
# ## The figures side by side
# Each run's own. Not yet a comparison. Times stand here only where machine, libraries and quiet were the same.

# %%
shown = [name for name in SHOWN if name not in TIMES or same_clock(runs)]
pd.DataFrame({run.name: {name: run.figures[name] for name in shown if name in run.figures} for run in runs}).round(4)

# %% [markdown]
# ## The verdict
# A dot right of the line: more than the first. Green and orange are shown beyond chance (Holm, for several runs); grey is not shown,
# which is not the same as equal. Of `acd` less is better.

# %%
found = verdicts(opened.truth, sides, repeats=300)
draw_differences(found)

# %% [markdown]
# ## What accuracy costs
# Only runs of one machine have times that can be held against each other; else the size on disk is what they cost.

# %%
cost = common_cost(runs) if len(runs) > 1 else None
draw_pareto(points(runs, cost), cost=COSTS[cost], gain="detection AP50") if cost else Markdown(
    "No two runs that tell a cost in common."
)

# %% [markdown]
# ## Where they differ most
# The same pictures, as the first and the second answered them, by the change of the boxes' F1. Where the boxes are the same it is the
# names that differ: open both runs in 04_recognition_errors.

# %%
pairs = most_changed(opened, 2)
names = [str(category["name"]) for category in opened.truth.coco["categories"]]
reader = open_detector(runs[0].folder)
draw_judged(
    [judge(pair, score=opened.score) for both in pairs for pair in both], reader.read, names,
    f"Where their boxes differ most, at score {opened.score:.2g}" if pairs else "Their boxes differ in no picture"
)  # fmt: skip

# %% [markdown]
# ## What to do next

# %%
Markdown(steps_as_markdown(steps_of_verdicts(found, notes_of(runs, len(opened.truth.boxes)))))
