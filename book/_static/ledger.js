// The ledger's filters. Without this script the page shows the full table.
(() => {
  "use strict";

  function start() {
    const form = document.getElementById("ledger-filters");
    const table = document.getElementById("ledger-table");
    if (!form || !table) return;
    const rows = [...table.querySelectorAll("tr[data-claim]")];
    const nodes = new Map([...document.querySelectorAll("[data-node]")].map((node) => [node.dataset.node, node]));
    const edges = [...document.querySelectorAll(".claim-graph .edge")];
    const count = document.getElementById("ledger-count");
    const names = ["paper", "kind", "verdict"];
    let announced;

    function apply() {
      const words = form.elements.search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const wanted = names.map((name) => [name, form.elements[name].value]).filter(([, value]) => value);
      let shown = 0;
      for (const row of rows) {
        const fits =
          wanted.every(([name, value]) => row.dataset[name] === value) &&
          words.every((word) => row.dataset.words.includes(word));
        row.hidden = !fits;
        shown += fits ? 1 : 0;
        nodes.get(row.dataset.claim)?.classList.toggle("dim", !fits);
      }
      // One announcement when typing pauses, not one per key.
      clearTimeout(announced);
      announced = setTimeout(() => {
        count.textContent = shown === rows.length ? `${shown} claims` : `${shown} of ${rows.length} claims`;
      }, 150);
    }

    function light(node, on) {
      for (const edge of edges) {
        const touches = edge.dataset.from === node.dataset.node || edge.dataset.to === node.dataset.node;
        if (touches) edge.classList.toggle("lit", on);
      }
    }

    for (const node of nodes.values()) {
      for (const event of ["mouseenter", "focus"]) node.addEventListener(event, () => light(node, true));
      for (const event of ["mouseleave", "blur"]) node.addEventListener(event, () => light(node, false));
    }

    // A link such as ledger.html?verdict=refuted opens the ledger filtered.
    const asked = new URLSearchParams(window.location.search);
    for (const name of [...names, "search"]) if (asked.has(name)) form.elements[name].value = asked.get(name);

    // A link into the table must not end at a row that is filtered away.
    window.addEventListener("hashchange", () => {
      const target = document.getElementById(decodeURIComponent(window.location.hash.slice(1)));
      if (target && target.hidden) {
        form.reset();
        setTimeout(() => target.scrollIntoView());
      }
    });

    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(apply));
    form.hidden = false;
    apply();
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
