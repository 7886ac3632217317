"""Page objects: what a visitor can see and do on each page, in words."""
