"""Everything that touches tensors: data, training, curvature, solvers, updates. Imports only `service.domain`."""
