"""How Sphinx makes the site of `make docs`: from the pages that people read in the checkout."""

project = "Agent workshop kit"
html_title = project
extensions = ["myst_nb", "sphinx.ext.githubpages", "sphinx_external_toc"]
external_toc_path = "docs/_toc.yml"
include_patterns = ["*.md", "data/**.md", "docs/*.md", "docs/*.ipynb", "findings/*.md"]
include_patterns += ["notebooks/*.ipynb", "tests/testcluster/*.md"]
html_theme = "furo"
html_static_path = ["site"]
html_css_files = ["site.css"]
# They are shown as they were run, or without outputs.
nb_execution_mode = "off"
nb_merge_streams = True
# What the runner reads in them, beside the text and the table.
suppress_warnings = ["mystnb.unknown_mime_type"]
myst_heading_anchors = 3
