"use strict";

// A link may bring a document: /graphql?query=…
const query = new URLSearchParams(window.location.search).get("query");

// Headers are not kept (shouldPersistHeaders): one of them may be a token.
ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher: GraphiQL.createFetcher({ url: window.location.pathname }),
    query: query === null ? undefined : query,
    defaultEditorToolsVisibility: true,
    isHeadersEditorEnabled: true,
    shouldPersistHeaders: false,
  }),
);
