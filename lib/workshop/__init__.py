"""The public names: all that a notebook needs.

    >>> from workshop import connect, deploy_mongodb, verify_mongodb

One verb deploys a part, another proves that it works. The names stand in ``__init__.pyi``, and in
docs/library.md with what each does. Nothing is imported before it is used: a notebook's kernel
then starts in the time of a bare Python.
"""

try:
    import lazy_loader
except ModuleNotFoundError:
    # Set-up runs under a bare Python, to install this among others. It needs none of the names.
    __all__ = []
else:
    __getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
