"""The verification of a host: probes that run in a container there, and who starts them and reports."""
