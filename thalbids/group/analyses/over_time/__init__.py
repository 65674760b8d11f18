"""Change of the thalamus between visits."""
