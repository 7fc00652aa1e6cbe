"""How do the state rows of a day become its results: rollup, close, baselines?"""
