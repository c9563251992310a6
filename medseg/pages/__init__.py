"""HTML pages that are one file each: everything is in it, nothing is fetched, light and dark.

`make_page` puts a page together from a body, styles and scripts; `picture` makes an image that can stand in it.
The look that all pages share, on screens and on paper, is `page.css`; sorting and filtering of tables is `tables.js`.
`icon.svg` is the icon of their tabs.
"""

from __future__ import annotations

from medseg.pages.page import embed_json, make_page, picture, read_asset

__all__ = ["embed_json", "make_page", "picture", "read_asset"]
