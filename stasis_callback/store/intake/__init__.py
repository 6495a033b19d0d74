"""What comes in: access numbers, instances, API keys, senders, answers, limits."""
