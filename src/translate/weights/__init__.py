"""Weights in and out: our own file, the published layouts, the Hugging Face Hub, and translating with what is loaded.

The package itself imports nothing, so that `import translate` stays light.
"""
