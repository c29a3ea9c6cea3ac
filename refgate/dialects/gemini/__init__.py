"""Gemini generateContent and streamGenerateContent, as providers speak it."""
