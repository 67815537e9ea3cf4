// Keeps what is marked data-live current: told by the board that something may have changed, it asks for the page again and puts the
// parts that differ in place of the old ones. Without it the page is right until it is loaded again.
"use strict";
(() => {
  let asking = false;
  let again = false;
  let source = null;

  const put = (fresh) => {
    const parts = document.querySelectorAll("[data-live]");
    const others = fresh.querySelectorAll("[data-live]");
    if (fresh.title !== document.title || parts.length !== others.length) {
      location.reload();
      return;
    }
    parts.forEach((part, number) => {
      const other = others[number];
      if (part.innerHTML === other.innerHTML || part.contains(document.activeElement)) return;
      part.replaceChildren(...[...other.childNodes].map((node) => document.importNode(node, true)));
    });
  };

  const ask = () => {
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    again = false;
    const request = new XMLHttpRequest();
    request.open("GET", location.href);
    request.responseType = "document";
    request.onloadend = () => {
      asking = false;
      if (request.status === 401) location.reload();
      else if (request.responseURL && new URL(request.responseURL).pathname !== location.pathname) location.assign(request.responseURL);
      else if (request.status === 200 && request.response) put(request.response);
      if (again) ask();
    };
    request.send();
  };

  const listen = () => {
    if (document.hidden) {
      if (source) source.close();
      source = null;
    } else if (!source) {
      source = new EventSource("/live");
      source.onmessage = ask;
    }
  };

  if (!document.querySelector("[data-live]")) return;
  document.addEventListener("visibilitychange", listen);
  listen();
})();
