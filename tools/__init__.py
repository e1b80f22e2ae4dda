"""Programs for people who work on Tillstream itself."""
