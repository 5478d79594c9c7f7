// Inline formulas cannot break across lines. Those wider than their paragraph get a scroll bar of their own, so that the
// page keeps its width on a phone.
(() => {
  const mark = () => {
    for (const formula of document.querySelectorAll('mjx-container:not([display="true"])')) {
      formula.classList.remove("too-wide");
      const block = formula.closest("p, li, td, th, dd, figcaption, div");
      if (block && block.clientWidth && formula.getBoundingClientRect().width > block.clientWidth) {
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
