"""Tables, figures and verdicts from run folders alone. Imports no torch.

    run folders -> records -> layout -> samples -> comparison -> tables -> render -> Markdown,
                                         statistics, pairs, ablation, costs             LaTeX, CSV, HTML
                              published, claims, figures

`records` reads, `layout` says which runs share a row and a column, `samples` puts the scores of a cell together,
`comparison` holds what was found as plain data, `tables` has the columns that show it, `render` writes these in each
format, `document` is the whole report.
"""
