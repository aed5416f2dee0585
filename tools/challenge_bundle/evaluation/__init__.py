"""Evaluating participants' submissions: taking them in, building, running and scoring each in isolation."""
