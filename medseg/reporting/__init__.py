"""Tables, figures and verdicts from run folders alone. Imports no torch.

    runs -> layout -> samples -> comparison -> tables -> render -> Markdown, LaTeX, CSV, HTML
            names       statistics -> rule, ranks, planning       figures, page
                        pairs, ablation, costs, claims, published

`medseg.runs.reading` reads the folders; `layout` sorts runs into rows and columns by their settings; `samples` puts the
scores of a cell together; `rule` is the one verdict, on the arrays of `statistics`; `comparison` is the result as plain
data. `tables` has one entry for each column that is printed, and `render` writes them in every format; `document` is
the whole report.
"""
