"""Who uses the console: operators with roles, their sessions, and changes that wait for a second one."""
