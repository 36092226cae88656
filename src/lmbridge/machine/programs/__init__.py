"""Other programs' settings: where they lie, what lmbridge writes into them, and how to take exactly that back."""
