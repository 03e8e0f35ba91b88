"""The API server: authentication, authorization, admission, verbs, and the watch cache they are served from."""
