"""Other people's software for the same task, run as processes beside ours; each folder says which and why so set."""
