"""The leaderboard: a static site of records and submissions. Pages are functions of entries; no number is typed."""
