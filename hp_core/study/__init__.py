"""The user study of the paper's appendix E.1: a static page that asks, and the mean opinion scores of what comes back."""
