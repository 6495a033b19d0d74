"""The console: what is going on, and everything that commands configure, in the operators' browsers.

It is a process of its own beside the one that makes the calls, and runs the very commands of the shell.
"""
