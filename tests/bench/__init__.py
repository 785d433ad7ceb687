"""Benchmarks: ratios against named rivals and limits in one run, never timed unit tests."""
