"""The report as one HTML file: tables to sort and filter, plots, tests, the test images, runs and their curves.

Every number in it is made by the functions that make the tables of the other formats. What the scripts draw is
embedded as JSON; what comes from runs, such as names and errors, is escaped or set as text.

scores.py     the comparison under every measure: tables, the plot against costs, the matrix of differences, ranks
browser.py    the test images with the predictions of two networks; pictures.py makes the pictures
certainty.py  calibration and confidence
curves.py     validation scores and losses over the epochs
settings.py   the runs and what they were made with
markup.py     controls and sections as HTML
"""
