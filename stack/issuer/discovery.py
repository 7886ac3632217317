"""What clients learn about this issuer (OpenID Connect Discovery 1.0)."""

from __future__ import annotations

from stack.issuer.authorization import SCOPES
from stack.issuer.signing_keys import ALGORITHM
from stack.issuer.token_endpoints import GRANT_TYPES
from stack.issuer.tokens import AccessToken, IdToken

PATHS = {
    "authorization_endpoint": "/authorize",
    "token_endpoint": "/token",
    "userinfo_endpoint": "/userinfo",
    "end_session_endpoint": "/end-session",
    "jwks_uri": "/jwks.json",
}


def document(issuer: str) -> dict[str, object]:
    """Return the discovery document."""
    claims = {*AccessToken.__struct_fields__, *IdToken.__struct_fields__}
    return {
        "issuer": issuer,
        **{name: issuer + path for name, path in PATHS.items()},
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANT_TYPES),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "scopes_supported": list(SCOPES),
        "claims_supported": sorted(claims),
        "token_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }
