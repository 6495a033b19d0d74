"use strict";
// Follows a call. Where this does not run, the page reloads itself.
(() => {
  const progress = document.getElementById("progress");
  const now = document.getElementById("now");
  let polling = null;

  const tick = () => {
    for (const part of document.querySelectorAll("[data-since]")) {
      const seconds = Math.max(0, Math.floor((Date.now() - Number(part.dataset.since)) / 1000));
      part.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    }
  };

  const take = (message) => {
    progress.innerHTML = message.html;
    now.textContent = message.now;
    document.title = message.now;
    tick();
    if (!message.over) return;
    now.classList.add("over");
    now.classList.toggle("failed", message.failed);
    for (const id of ["cancel", "updates"]) document.getElementById(id)?.remove();
    document.getElementById("again")?.removeAttribute("hidden");
    clearInterval(polling);
  };

  const source = new EventSource(progress.dataset.events);
  source.addEventListener("progress", (event) => {
    const message = JSON.parse(event.data);
    take(message);
    if (message.over) source.close();
  });
  source.addEventListener("error", () => {
    // A refusal (too many pages open, a proxy that keeps streams back) ends the source for good.
    if (source.readyState === EventSource.CLOSED && polling === null) {
      polling = setInterval(() => location.reload(), 3000);
    }
  });
  setInterval(tick, 1000);
})();
