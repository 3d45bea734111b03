"""The JSON of the API: what comes in has defaults and forbids surplus members, what goes out has neither."""
