"""What a person, a CI server or another program is told about runs. Nothing here decides anything."""
