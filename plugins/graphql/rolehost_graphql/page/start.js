"use strict";

// A link may bring a document: /graphql?query=…
const query = new URLSearchParams(window.location.search).get("query");

// Headers are not kept (shouldPersistHeaders): one of them may be a token.
const main = document.getElementById("graphiql");
ReactDOM.createRoot(main).render(
  React.createElement(GraphiQL, {
    fetcher: GraphiQL.createFetcher({ url: main.dataset.api }),
    query: query === null ? undefined : query,
    defaultEditorToolsVisibility: true,
    isHeadersEditorEnabled: true,
    shouldPersistHeaders: false,
  }),
);
