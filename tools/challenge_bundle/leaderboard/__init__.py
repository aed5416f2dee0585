"""Ranking submissions, with the uncertainty of their scores."""
