"""How far to trust a result: pure judgement on numbers and evidence. Never runs a model or a registration itself."""
