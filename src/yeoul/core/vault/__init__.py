"""Secrets that users entrust to the installation, encrypted at rest."""
