"""The operator's commands, one module per noun. Heavy modules are imported only when a command runs."""
