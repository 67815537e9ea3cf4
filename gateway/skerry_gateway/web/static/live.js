// Keeps the states of the nodes on the page current. Without it the page is right until it is loaded again.
"use strict";
(() => {
  const rows = document.querySelectorAll("[data-node]");
  const stale = document.querySelector("[data-live]");
  if (!rows.length) return;
  const show = (nodes) => {
    for (const row of rows) {
      const node = nodes.get(row.dataset.node);
      if (!node) { location.reload(); return; }
      const state = row.querySelector(".state");
      if (state && state.textContent !== node.word) {
        state.className = "state " + node.state;
        state.textContent = node.word;
      }
      const seen = row.querySelector(".seen");
      if (seen) seen.textContent = node.seen;
    }
    if (nodes.size !== new Set([...rows].map((row) => row.dataset.node)).size) location.reload();
  };
  const ask = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch("/api/v1/live", { headers: { Accept: "application/json" } });
      if (answer.status === 401) { location.reload(); return; }
      const { nodes } = await answer.json();
      show(new Map(nodes.map((node) => [String(node.id), node])));
      if (stale) stale.textContent = "";
    } catch (error) {
      if (stale) stale.textContent = "The gateway does not answer; what you see may be old.";
    }
  };
  setInterval(ask, 3000);
  document.addEventListener("visibilitychange", ask);
})();
