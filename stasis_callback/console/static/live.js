"use strict";
// Shows the panels anew when they change. Without it the page is as good as when it was loaded.
(() => {
  const panels = document.getElementById("panels");
  const liveness = document.getElementById("liveness");
  if (!panels || !window.EventSource) return;
  const events = new EventSource("/live");
  events.addEventListener("open", () => { liveness.textContent = liveness.dataset.live; });
  events.addEventListener("panels", (event) => {
    // Whoever reads or selects in a panel keeps it until they are done.
    if (panels.contains(document.activeElement) || String(window.getSelection())) return;
    panels.innerHTML = event.data;
  });
  events.addEventListener("error", () => { liveness.textContent = liveness.dataset.lost; });
})();
