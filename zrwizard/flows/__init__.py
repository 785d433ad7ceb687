"""What the operator wants, as pure functions of facts and answers."""
