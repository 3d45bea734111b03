"""Every call of the API as a function that describes it, named like the API's operation; one file a resource.

An operation that is used in two ways has two calls, such as `train` and `import_adapter`, which both create a version.
"""
