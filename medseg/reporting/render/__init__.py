"""Tables of columns and records, and what writes them.

table.py       columns, records, and what of them is displayed
markdown.py    latex.py (with latex_text.py)    html.py    text.py, for a terminal    csv.py
"""
