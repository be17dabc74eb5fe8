"""Draft layers on octavo-tiny's hidden rows: EAGLE's one layer, and PosS' specialist for each draft position."""
