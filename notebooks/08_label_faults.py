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
# # 8. Which labels look wrong?
# A detector that was not trained on a picture disagrees with its labels for two reasons: it is wrong, or they are. Where it is at
# least as sure as it usually is when right, a look is cheap. How far the order can be trusted is measured at the end, by planting
# faults and looking for them again.

# %%
# A run with predictions on pictures that it was not trained on; of several that fit the newest is taken.
RUN = "logs/quickstart/*/benchmark"

# %%
import os
import warnings
from collections import Counter

import pandas as pd
from IPython.display import Markdown

# %matplotlib inline
warnings.filterwarnings("ignore", message="IProgress not found")

from facings.analysis.error_figures import draw_counts
from facings.analysis.label_faults import detection_label_faults, faults_as_coco, faults_as_fiftyone
from facings.analysis.next_steps import steps_as_markdown, steps_of_label_faults
from facings.analysis.planted_faults import plant_faults, planted_found
from facings.commands.analyze_detector import draw_faults
from facings.commands.opened_run import newest, open_detector, project_home

os.chdir(project_home())
run = open_detector(newest(os.environ.get("FACINGS_RUN", RUN)))
faults = detection_label_faults(run.pairs, run.table.labels)
counts = Counter(fault.fault for fault in faults)
Markdown(f"**{run.folder.name}**: {len(faults)} suspicions among {len(run.truth['annotations'])} labels")

# %% [markdown]
# ## What kind they are
# `not labelled`: a sure box on nothing. `other class`: a sure box that fits an object of another class. `loose box`: it fits, but not
# tightly. `nothing there`: a label that no box of any score comes near.

# %%
draw_counts(dict(counts.most_common()) or {"none": 0}, title="Suspected label faults", below="places")

# %% [markdown]
# ## The most suspicious
# Orange: the suspicious place; white: what is labelled. Go through them from the left and count how many you agree with.

# %%
draw_faults(faults[:12], run.table)

# %%
columns = ["picture", "fault", "suspicion", "labelled", "suggested", "overlap"]
pd.DataFrame(faults[:15])[columns].round(3) if faults else Markdown("None.")

# %% [markdown]
# ## How far can the order be trusted?
# Three in a hundred labels are spoiled on purpose, and looked for: among as many suspicions as were planted, how many are found?
# `chance` is what as many places drawn at random would find.

# %%
planted = plant_faults(run.truth)
trust = planted_found(planted, run.predictions)
pd.DataFrame([trust]).round(3)

# %% [markdown]
# ## Handing them on
# As COCO annotations, or as FiftyOne's labels file; `facings analyze run=FOLDER` writes both.

# %%
exported = {"COCO": len(faults_as_coco(faults, run.truth)["annotations"])}
exported["FiftyOne"] = sum(len(places) for places in faults_as_fiftyone(faults, run.truth)["labels"].values())
pd.DataFrame([exported], index=["places"])

# %% [markdown]
# ## What to do next

# %%
Markdown(steps_as_markdown(steps_of_label_faults(counts, trust)))
