"""The published plots: results of several SAEs in, matplotlib and plotly figures out."""
