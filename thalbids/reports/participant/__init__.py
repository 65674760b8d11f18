"""The page of a participant, and the page of all sessions."""
