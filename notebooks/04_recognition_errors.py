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
# # 4. Who lost the product: the detector, the crop, the gallery or the embedder?
# The chain is found, cut, compared, decided. Each object and each decision is counted once, at the first stage that failed, so that
# the bars sum to all errors. Then: what is taken for what, and what the embedder thought was nearest.

# %%
# A run of facings benchmark (protocol=frames); of several that fit the newest is taken.
RUN = "logs/quickstart/*/benchmark"

# %%
import os
import warnings

import pandas as pd
from IPython.display import Markdown
from PIL import Image

# %matplotlib inline
warnings.filterwarnings("ignore", message="IProgress not found")

from facings.analysis.attribution import count_stages, errors_of
from facings.analysis.confusions import confusions, draw_confusions
from facings.analysis.error_figures import draw_counts, draw_slices
from facings.analysis.findings import findings_of_counts
from facings.analysis.likeness_maps import draw_looked_at, looked_at
from facings.analysis.nearest_failures import draw_failures, nearest_failures
from facings.analysis.next_steps import steps_as_markdown
from facings.commands.analyze_chain import chain_slices, picture_values
from facings.commands.opened_run import embed_crops, embedder_of, newest, open_chain, project_home
from facings.data.recognition import CropReader
from facings.metrics.threshold_consistency import threshold_consistency

os.chdir(project_home())
run = open_chain(newest(os.environ.get("FACINGS_RUN", RUN)))
objects = sum(len(frame.products) for frame in run.frames)
Markdown(
    f"**{run.content['bundle']['name']}** on {run.content['data']['name']}: {len(run.frames)} pictures, {objects} objects"
)

# %% [markdown]
# ## Where products are lost

# %%
counts = count_stages([frame.attribution for frame in run.frames])
errors = errors_of(counts)
draw_counts(
    errors or {"no error": 0}, title=f"{sum(errors.values())} errors, by the stage that failed first", below="errors"
)

# %% [markdown]
# ## Which goods are lost
# By department, category, size, crowding, sharpness and glare. A department far above the other wants data or enrolment photos; small
# objects far above large ones want a larger input; blurred or burnt-out pictures far above the others want another camera or light.

# %%
draw_slices(
    chain_slices(run.frames, run.categories, of_frames=picture_values(run.frames)),
    value="error_share",
    title="Share of objects lost",
    below="share lost",
)

# %% [markdown]
# ## What is taken for what
# In each strip: what was asked, the product that it is, the one that it was called. Siblings (one category) are told apart by print
# and small marks; others should not be confused at all.

# %%
pairs = confusions(run.frames, run.categories)
pd.DataFrame(
    [
        {"is": p.truth, "called": p.answer, "times": p.count, "of named": p.of, "siblings": p.siblings}
        for p in pairs[:8]
    ],
    columns=["is", "called", "times", "of named", "siblings"],
)

# %%
draw_confusions(pairs[:6], run.read, title="What is taken for what" if pairs else "Nothing is taken for anything else")

# %% [markdown]
# ## The embedder by itself
# Crops at true boxes, so that the detector has no part in it. In each strip: the query, the nearest photo of the gallery, the nearest
# photo of the right product. A large difference of the two similarities is a firm mistake; a small one is nearly a draw.

# %%
crops = embed_crops(run)
queries, labels, query_rows = crops.side(enrol=False)
views, view_labels, view_rows = crops.side(enrol=True)
failures = nearest_failures(queries, labels, views, view_labels)
reader = CropReader(0.0)
draw_failures(
    failures[:8],
    lambda place: Image.fromarray(reader(query_rows[place])),
    lambda place: Image.fromarray(reader(view_rows[place])),
    [row.product_id for row in query_rows],
    [row.product_id for row in view_rows],
    title=f"{len(failures)} of {len(queries)} queries are nearest to another product, the clearest first",
)

# %% [markdown]
# ## What the embedder looked at
# Part after part of a crop is covered, and the likeness that is lost tells what it rested on. In each strip: the query beside the nearest
# photo, tinted by what made these two alike, then the query beside the nearest right photo. Orange made them alike, blue told them
# apart. Orange on the ground, the shelf or a neighbour wants tighter boxes and other grounds in training; orange on what both goods
# have in common (a lid, a colour) wants photos that show what differs.

# %%
embed, shown = embedder_of(run.bundle()), CropReader(run.bundle().postprocess.crop_margin)
sides = [lambda place: shown(query_rows[place]), lambda place: shown(view_rows[place])]
draw_looked_at(
    [looked_at(failure, *sides, embed) for failure in failures[:4]],
    *sides,
    [row.product_id for row in query_rows],
    [row.product_id for row in view_rows],
    title="What made them alike",
)

# %% [markdown]
# ## Does one threshold serve all products?
# The operating-point inconsistency (OPIS; 0: all alike). The products below deviate most from the mean: with one threshold for all
# they are refused too often, or believed too easily.

# %%
consistency = threshold_consistency(queries, labels, gallery=views, gallery_labels=view_labels)
worst = consistency.of_class.argsort()[::-1][:6]
Markdown(f"OPIS {consistency.opis:.4f} over {len(consistency.classes)} products")

# %%
pd.DataFrame(
    {
        "product": [crops.products[label] for label in consistency.classes[worst]],
        "deviation": consistency.of_class[worst].round(4),
        "utility": consistency.utility[worst].round(3),
    }
)

# %% [markdown]
# ## What to do next

# %%
Markdown(steps_as_markdown(findings_of_counts(errors, of="objects", whole=objects)))
