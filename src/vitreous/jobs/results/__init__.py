"""The files of the jobs: written from a result, read back for reports and later jobs."""
