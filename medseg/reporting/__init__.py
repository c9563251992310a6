"""Tables, figures and verdicts from run folders alone. Imports no torch.

    run folders -> records -> layout -> samples -> comparison -> show_* -> render -> Markdown, LaTeX
                                         statistics, pairs, ablation, costs     raw -> CSV
                              published, claims, figures

`records` reads, `layout` says which runs share a row and a column, `samples` puts the scores of a cell together,
`comparison` holds what was found as plain data, `show_scores` and `show_tests` put it into words, `document` is the
whole report.
"""
