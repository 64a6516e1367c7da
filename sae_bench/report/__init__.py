"""The report: results as one HTML page that needs no network, and as figures for papers. It reads only results."""
