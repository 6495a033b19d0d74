"""Health and figures of a process: what Prometheus, a load balancer and systemd ask for.

`counted.py` is the table of what is counted, from the log's events; `metrics.py` reads what is true now; `health.py`
says whether the process can work; `listener.py` serves them where there is no web server. No name, number or text
that a stranger chooses becomes a label.
"""
