"""The workers of a run: a Dask cluster, found or started."""
