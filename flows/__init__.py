"""When and where work runs: Prefect flows, Dask clusters, and the command line."""
