"""Workers that are processes of this machine, without a cluster: started at once, each at the end of a socket."""
