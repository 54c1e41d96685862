"""COCO JSON out to other formats. One file a format; the ways in are `data/adapters`."""
