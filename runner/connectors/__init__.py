"""An instance's connectors as tools of its runs."""
