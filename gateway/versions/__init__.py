"""Projects, repos, branches, commits, and the objects in them."""
