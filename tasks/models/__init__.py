"""UNet++ and what trains it, in Keras 3."""
