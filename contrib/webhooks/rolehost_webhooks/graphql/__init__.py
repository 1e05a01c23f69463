"""The plugin ``webhooks-api``'s part of a GraphQL API; imported where ``graphql`` is enabled."""
