"""The tables of a report: of each the columns, which all formats share, and the notes.

scores.py    the comparison of networks on datasets, all scores
costs.py     what the networks cost, as columns of the comparison
tests.py     pairs, wins, average ranks, ablations
outlook.py   what would stay the same: ranks in other samples, and what it takes to tell more
papers.py    claims of papers, our scores beside published ones
runs.py      the runs

A new column is one more `Column` in the list of its table.
"""
