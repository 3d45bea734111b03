"""What a verification measures: one file a metric, one registry, one rule for outcomes, the verdict and its worth."""
