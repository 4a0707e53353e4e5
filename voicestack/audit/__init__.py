"""The audit: a live host compared with what this repository would make of it; changes nothing."""
