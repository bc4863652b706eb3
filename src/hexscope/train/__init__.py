"""Train a model from a table of cases. The only room that knows torch, and it needs it only when it trains."""
