"""What run.py is made of: environment, data, processes, workloads, equality, targets, reports."""
