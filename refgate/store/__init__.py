"""The gateway's memory. `sqlite.py` is the one backend; `database.py` and `schema.py` are its ground."""
