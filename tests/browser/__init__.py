"""One spec per user story: a real Chromium, a real JupyterLab, real kernels, a real store."""
