"""Model cards: what a trained network is, what it was trained on, how well it does, and what it is not fit for.

    run folders -> collect (network, data) -> document (limits, front_matter, recipe) -> Markdown

Everything is read from the folders of runs and the prepared data. Imports no torch.
"""
