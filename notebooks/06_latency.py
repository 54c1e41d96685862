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
# # 6. Where does a frame's time go?
# Milliseconds of one machine say little about another. So: which stage takes them, what each product adds, and how the networks stand
# beside a reference graph that is timed in the same rounds. A measurement that others disturbed says so.

# %%
# A run of facings benchmark; of several that fit the newest is taken.
RUN = "logs/quickstart/*/benchmark"
# How much is timed here: more pictures, runs of each, pictures at once and rounds take longer, and waver less.
PICTURES, REPEATS, BATCHES, ROUNDS = 10, 2, (1, 4), 5

# %%
import os
import warnings

import pandas as pd
from IPython.display import Markdown

# %matplotlib inline
warnings.filterwarnings("ignore", message="IProgress not found")

from facings.analysis.cost_figures import draw_frame_cost, draw_networks, draw_stages
from facings.analysis.next_steps import steps_as_markdown, steps_of_latency
from facings.benchmark.frame_times import cost_of_a_product, frame_times
from facings.benchmark.throughput import time_networks
from facings.commands.latency_protocol import networks_of
from facings.commands.opened_run import newest, open_benchmark, project_home
from facings.runtime.recognizer import Recognizer

os.chdir(project_home())
run = open_benchmark(newest(os.environ.get("FACINGS_RUN", RUN)))
latency = run.content["latency"]
Markdown(f"**{run.content['bundle']['name']}** on {run.content['machine']}")

# %% [markdown]
# ## The stages, as the run measured them
# In a process of its own that loads only the store runtime. `decode` (JPEG) is not part of the total. A long orange line is a stage
# whose time depends on the picture, as embedding does on the number of products.

# %%
draw_stages(latency["stages"])

# %%
names = ("runs", "frames", "threads", "products_mean", "cold_start_ms", "peak_mib", "other_cpu_share", "disturbed")
pd.DataFrame([{name: latency[name] for name in names}]).round(2)

# %% [markdown]
# ## What a product costs
# Measured now, on this machine, one thread, the fastest of `REPEATS` runs. The line's foot is an empty frame, its slope is what each product adds.

# %%
recognizer = Recognizer(run.bundle(), threads=1)
frames = frame_times(recognizer, [image.path for image in run.table.images[:PICTURES]], repeats=REPEATS)
fixed, each = cost_of_a_product(frames)
draw_frame_cost(frames, fixed, each)

# %% [markdown]
# ## The networks beside a reference
# The reference graph is the same everywhere, so these ratios can be compared between machines where milliseconds cannot. A small
# share of the machine's peak means that memory, not arithmetic, is what the network waits for.

# %%
measured = time_networks(networks_of(run.bundle()), None, threads=1, batches=BATCHES, rounds=ROUNDS, warmup=2)
draw_networks(measured.timed)

# %%
state = measured.steadiness
Markdown(
    f"Others took {state.others:.0%} of the processor meanwhile: "
    + ("**disturbed**" if state.disturbed else "quiet")
    + "; "
    f"the same product took {state.slowdown:+.0%} at the end" + (": **throttled**." if state.throttled else ".")
)

# %% [markdown]
# ## What to do next

# %%
Markdown(steps_as_markdown(steps_of_latency(latency, fixed, each, others=state.others)))
