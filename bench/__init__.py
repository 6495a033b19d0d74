"""`python -m bench`: what a callback costs and how fast it comes, next to the same callback as plain dialplan."""
