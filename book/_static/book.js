// Inline formulas cannot break across lines, and displayed ones often do not fit a phone. Those a little wider than
// their place are set smaller; those much wider get a scroll bar of their own, so that the page keeps its width.
(() => {
  const SMALLEST = 0.66;

  // Set a formula of this width into this room, smaller if need be; false if it would become too small to read.
  const fit = (formula, width, room) => {
    if (!room || width <= room) return true;
    const share = (0.98 * room) / width;
    if (share < SMALLEST) return false;
    formula.style.fontSize = `${share * parseFloat(formula.dataset.size)}%`;
    return true;
  };

  const mark = () => {
    for (const formula of document.querySelectorAll("mjx-container")) {
      formula.dataset.size ||= formula.style.fontSize || "100%";
      formula.style.fontSize = formula.dataset.size;
      formula.classList.remove("too-wide");
      if (formula.getAttribute("display") === "true") {
        fit(formula, formula.scrollWidth, formula.clientWidth);
        continue;
      }
      const block = formula.closest("p, li, td, th, dd, figcaption, div");
      if (block && !fit(formula, formula.getBoundingClientRect().width, block.clientWidth)) {
        formula.classList.add("too-wide");
      }
    }
  };
  const whenTypeset = () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(mark);
  window.addEventListener("load", whenTypeset);
  window.addEventListener("resize", whenTypeset);
  // Folded proofs have no width until they are opened.
  document.addEventListener("toggle", whenTypeset, true);
})();
