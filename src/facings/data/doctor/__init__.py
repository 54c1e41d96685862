"""The doctor of datasets: what a set holds, what is wrong with it, and a corrected copy. Knows nothing of networks."""
