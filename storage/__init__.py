"""Where bytes live: object stores, Zarr shards, the ledger, and the Parquet tables."""
