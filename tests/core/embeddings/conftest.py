from tests.core.completions.conftest import account, openai, token

__all__ = ["account", "openai", "token"]
