"""Objects from chunks: records, manifests, trees."""
