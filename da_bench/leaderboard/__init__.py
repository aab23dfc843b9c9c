"""The leaderboard: submissions of predictions, and the static site."""
