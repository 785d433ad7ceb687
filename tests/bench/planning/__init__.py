"""A thousand datasets with a thousand snapshots each, from the listing to the streams."""
