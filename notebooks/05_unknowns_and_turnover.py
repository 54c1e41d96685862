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
# # 5. What is not enrolled, and what happens when the goods change?
# Fresh goods come and go every few days. What is not enrolled must be called *unknown*, at an error rate that the store chose, and
# that rate must stay where it was after the shelf has changed. This page measures both on the crops of the run.

# %%
# A run of facings benchmark with a recognition table; of several that fit the newest is taken.
RUN = "logs/quickstart/*/benchmark"

# %%
import os
import warnings

import pandas as pd
from IPython.display import Markdown

# %matplotlib inline
warnings.filterwarnings("ignore", message="IProgress not found")

from facings.analysis.drift_between import embedding_drift, picture_statistics, statistics_drift
from facings.analysis.next_steps import steps_as_markdown, steps_of_drift, steps_of_open_set, steps_of_turnover
from facings.analysis.open_set_figures import draw_growth, draw_open_set
from facings.analysis.open_set_scores import doubling_sizes, open_set_scores
from facings.analysis.turnover_figure import draw_turnover
from facings.benchmark.turnover_short import short_turnover
from facings.commands.opened_run import accept_rule, embed_crops, halves, newest, open_chain, project_home
from facings.metrics.open_set import fnir_by_gallery_size
from facings.runtime.images import read_image

os.chdir(project_home())
run = open_chain(newest(os.environ.get("FACINGS_RUN", RUN)))
bundle = run.bundle()
crops = embed_crops(run)
queries, labels, query_rows = crops.side(enrol=False)
views, view_labels, _ = crops.side(enrol=True)
rule = accept_rule(bundle)
asked = rule.false_accept
Markdown(
    f"**{bundle.name}** {rule}. Its gallery holds {len(bundle.gallery().items)} products, the table's photos {len(set(view_labels))}."
)

# %% [markdown]
# ## Is it enrolled at all?
# Each query is asked twice: as it is, and with its own product taken out of the gallery, which makes it a good that nobody enrolled.
# Both are told by the rule that the bundle has: its similarity to the nearest product, or with a standard the lead over the next one.
# Where the two heaps overlap no threshold helps; only a better embedder or better enrolment photos do.

# %%
scores = open_set_scores(queries, labels, views, view_labels, sure=rule.sure)
draw_open_set(scores, rule.threshold, measure=rule.measure)

# %%
now = scores.at(rule.threshold)
pd.DataFrame([now | scores.figures(fpir=asked)]).round(3)

# %% [markdown]
# ## Which goods pass for another
# With their own product not enrolled. These have a twin on the shelf: enrolling one without the other is a trap.

# %%
pd.DataFrame(scores.boldest(crops.products, rule.threshold)).round(3)

# %% [markdown]
# ## What a growing gallery does to a threshold
# A fixed cosine cut lets more strangers pass with every product that is enrolled, because each is one more that they may resemble
# (orange). Taken anew at each size, the rate stays and some enrolled goods are refused instead (blue).

# %%
sizes = doubling_sizes(len(set(view_labels.tolist())))
draw_growth(fnir_by_gallery_size(queries, labels, views, view_labels, sizes=sizes, fpirs=(asked,)), asked=asked)

# %% [markdown]
# ## A shop over ten days
# A third of the goods is replaced each day; nothing is trained, nobody tunes. Blue is the standard, which weighs the lead over the next
# product too and is calibrated anew at each commit; orange a cosine threshold tuned on day 0. On a handful of products this wavers; the
# benchmark (`protocol=turnover`) takes more shops and products.

# %%
turnover = short_turnover(crops.data, name=run.content["data"]["name"], false_accept=asked)
draw_turnover(turnover) if turnover else Markdown("Too few products to divide into calibration, shelf and never seen.")

# %% [markdown]
# ## Has the camera changed?
# The first half of the pictures against the second, as one would hold two weeks of one camera against each other: a kernel test of
# the embeddings (crops of one picture stay together), and plain statistics of the pictures.

# %%
before, after, picture = halves(query_rows)
groups = [picture[week].tolist() for week in (before, after)]
weeks = [sorted({query_rows[place].path for place in week.tolist()}) for week in (before, after)]
enough = min(len(week) for week in weeks) > 1
drift = (
    embedding_drift(queries[before], queries[after], before_groups=groups[0], after_groups=groups[1])
    if enough
    else None
)
statistics = [[picture_statistics(read_image(path)) for path in week[:40]] for week in weeks]
statistics = statistics_drift(*statistics) if enough else []
pd.DataFrame(statistics).round(4) if enough else Markdown("Fewer than four pictures have no two halves to compare.")

# %% [markdown]
# ## What to do next

# %%
steps = steps_of_open_set(now, asked, len(queries))
steps += [steps_of_turnover(turnover["figures"], asked)] if turnover else []
steps += [steps_of_drift(drift.p_value, statistics)] if drift else []
Markdown(steps_as_markdown(steps))
