// Keeps the states of the nodes on the page current. Without it the page is right until it is loaded again.
"use strict";
(() => {
  const rows = document.querySelectorAll("[data-node]");
  const listing = document.querySelector("[data-live]"); // a page that shows all nodes, and says when it is out of date
  const sentence = document.querySelector("[data-sentence]");
  const shown = new Set([...rows].map((row) => row.dataset.node));

  const update = (row, node) => {
    const state = row.querySelector(".state");
    if (state.textContent !== node.word) {
      state.className = "state " + node.state;
      state.textContent = node.word;
    }
    row.querySelector(".seen").textContent = node.seen;
  };

  const show = (answer) => {
    const nodes = new Map(answer.nodes.map((node) => [String(node.id), node]));
    const gone = [...shown].some((id) => !nodes.has(id));
    if (gone || (listing && nodes.size !== shown.size)) {
      location.reload();
      return;
    }
    rows.forEach((row) => update(row, nodes.get(row.dataset.node)));
    if (sentence) sentence.textContent = answer.sentence;
  };

  const ask = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch("/api/v1/live");
      if (answer.status === 401) location.reload();
      else if (answer.ok) show(await answer.json());
      if (listing) listing.textContent = "";
    } catch {
      if (listing) listing.textContent = "The gateway does not answer; what you see may be old.";
    }
  };

  setInterval(ask, 3000);
  document.addEventListener("visibilitychange", ask);
})();
