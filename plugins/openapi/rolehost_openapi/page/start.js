"use strict";

// validatorUrl would send the document to a server on the Internet: the page works offline.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  filter: true,
  displayRequestDuration: true,
  validatorUrl: null,
  onComplete: () => {
    const title = document.querySelector("#api .info .title");
    if (title) document.title = title.firstChild.textContent.trim();
  },
});
