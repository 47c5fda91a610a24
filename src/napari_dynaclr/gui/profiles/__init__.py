"""Profiles of fields and wells: made, mapped and tested."""
