"""Raw files to records: no row is lost in silence."""
