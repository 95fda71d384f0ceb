"""The store against its ledger: verified, repaired, cleaned."""
