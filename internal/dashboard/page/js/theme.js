// The theme is set before the page is drawn, or it would flash: the reader's choice, else that of the system.
"use strict";
(() => {
  const chosen = localStorage.getItem("tandem-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
