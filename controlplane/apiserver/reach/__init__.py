"""Ways from the API server to Services of the cluster, for webhooks and aggregated API servers."""
