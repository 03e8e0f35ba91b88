"""OpenID Connect: users whom others vouch for, by id tokens that those have signed."""
