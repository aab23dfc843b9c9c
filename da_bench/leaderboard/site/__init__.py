"""The leaderboard: a static site of records and submissions.

`build.gather` reads results folders and submissions, `entries` turns their records into ranked entries, `pages`
prepares what each page shows, `render` fills the Jinja2 templates in `templates/`, `check` reads the built site back.
"""
