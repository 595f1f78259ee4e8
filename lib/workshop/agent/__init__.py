"""The agent: how it is asked, what it answers, how that is shown and proven."""
