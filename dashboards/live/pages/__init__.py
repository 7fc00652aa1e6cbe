"""The pages, one a module: each reads its data, lays its parts out once, and paints them again when data change."""
