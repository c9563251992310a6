"""A prepared dataset at a glance, as one HTML page.

    data module -> facts -> samples (which images, their outlines, what augmentation makes of them)
                         -> charts (SVG)                                     -> page

`facts` looks at every image once and holds the results as plain data; `page` puts it into words.
"""
