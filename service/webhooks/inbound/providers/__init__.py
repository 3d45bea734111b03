"""How each provider proves itself and says what it wants: one small class a provider."""
