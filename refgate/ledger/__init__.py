"""What is owed: call states, accounts and entries, intents and their deliverer, the reconciler."""
