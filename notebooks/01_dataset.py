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
# # 1. What do the pictures hold, and what is wrong with them?
# A figure is as good as its data. Before any error of a model is looked at: how many objects a picture holds, how large they are,
# how even the classes are, and which faults spoil training or flatter the test. Faults are listed, never mended in silence.

# %%
# A run whose pictures to look at, or the folder of a dataset; of several that fit the newest is taken.
RUN = "logs/quickstart/*/detection"

# %%
import os
import warnings

import pandas as pd
from IPython.display import Markdown

# %matplotlib inline
warnings.filterwarnings("ignore", message="IProgress not found")

from facings.analysis.next_steps import steps_as_markdown, steps_of_dataset
from facings.analysis.spread_figures import draw_dataset
from facings.commands.data_pictures import browse
from facings.commands.fault_sheet import draw_faults_of_data
from facings.commands.opened_run import newest, open_data, project_home
from facings.data.doctor.examination import examine

os.chdir(project_home())
run_folder = newest(os.environ.get("FACINGS_RUN", RUN))
dataset = open_data(run_folder)
found = examine(dataset)
record = found.record()
Markdown(f"**{dataset.name}**: {record['pictures_opened']} pictures opened. Licence: {found.licence.licence}")

# %% [markdown]
# ## What it holds
# Look for a test split unlike the training split, for pictures more crowded than a detector's capacity (1,000 by default), and for
# classes with a handful of objects: their figures will be mostly chance.

# %%
draw_dataset(record["statistics"])

# %% [markdown]
# ## What it looks like
# Drawn at random, as annotated. Boxes that lie beside their objects, or objects without a box, are seen here before any metric.

# %%
browse(dataset, split=None, count=6, seed=0)

# %% [markdown]
# ## What is wrong
# An `error` spoils training or the figures; a `warning` wants a look; a `note` is good to know. "Same picture in two splits" is the
# one that flatters most.

# %%
pd.DataFrame(
    [
        {"code": code, **{key: own[key] for key in ("severity", "count", "title")}}
        for code, own in record["kinds"].items()
    ],
    columns=["code", "severity", "count", "title"],
)

# %%
draw_faults_of_data(found.findings)

# %% [markdown]
# ## What to do next

# %%
Markdown(steps_as_markdown(steps_of_dataset(record["kinds"])))
