"""The sections of the settings: what each key may be. They hold no values: those stand in group_data."""
