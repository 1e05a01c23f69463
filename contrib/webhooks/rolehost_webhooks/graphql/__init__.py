"""GraphQL schema of the plugin ``webhooks-api``; imported only if ``graphql`` is enabled."""
