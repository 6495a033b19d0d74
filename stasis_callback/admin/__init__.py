"""The operator's commands. One module per noun; what is heavy is imported when a command runs, not before."""
