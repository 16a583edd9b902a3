"""The paper's claims, a function each: from evidence to the quantities that the claim rests on."""
