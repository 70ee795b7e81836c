"""How good weights are: metrics, baselines and tables."""
