"""Sphinx's configuration of the documentation: Markdown through MyST, furo's theme, man pages."""

from pathlib import Path

HERE = Path(__file__).parent

project = "txgateway"
author = "the authors of txgateway"
copyright = "the authors of txgateway"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True
html_theme = "furo"
html_title = "txgateway"
html_copy_source = False
html_show_sphinx = False
html_static_path = []
templates_path = []
pygments_style = "friendly"
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
highlight_language = "none"
suppress_warnings = ["misc.highlighting_failure"]  # languages that nobody colours, such as HAProxy's
man_pages = [
    ("made/commands", "gateway", "an S3 gateway in front of any storage", [author], 1),
    ("configuration", "tahoe.cfg", "the configuration of a gateway", [author], 5),
]
