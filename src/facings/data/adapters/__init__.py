"""One file a public dataset: source folder in, tables out."""
