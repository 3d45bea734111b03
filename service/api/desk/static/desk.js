// Keeps an open page true: when the feed tells of something, the page asks for itself again and takes over what
// changed. Without this script everything works; pages are then as old as they were loaded.
"use strict";

(() => {
  const main = document.getElementById("main");
  const PAUSE_MS = 700;
  const POLL_MS = 5000;
  let pending = null;
  let running = false;
  let again = false;

  function isInUse(element) {
    return element.contains(document.activeElement) || element.querySelector("details[open]") !== null;
  }

  function takeOver(fresh) {
    for (const part of main.querySelectorAll("[data-live]")) {
      const other = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
      if (other !== null && other.innerHTML !== part.innerHTML && !isInUse(part)) {
        part.replaceChildren(...other.childNodes);
      }
    }
    const status = fresh.dataset.status;
    if (status && status !== main.dataset.status) {
      main.dataset.status = status;
      document.getElementById("status").textContent = status;
    }
  }

  async function refresh() {
    if (running) {
      again = true;
      return;
    }
    running = true;
    try {
      const answer = await fetch(location.href.split("#")[0], { headers: { "lethe-refresh": "1" } });
      if (answer.redirected) {
        location.reload();
        return;
      }
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        takeOver(page.getElementById("main"));
      }
    } catch {
      // The server is away; the next event or poll tries again.
    } finally {
      running = false;
      if (again) {
        again = false;
        soon();
      }
    }
  }

  function soon() {
    pending ??= setTimeout(() => {
      pending = null;
      refresh();
    }, PAUSE_MS);
  }

  function poll() {
    setInterval(() => {
      if (!document.hidden) refresh();
    }, POLL_MS);
  }

  if (main.dataset.news !== undefined) {
    const source = new EventSource(main.dataset.news);
    source.addEventListener("news", soon);
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) poll();
    });
    addEventListener("pagehide", () => source.close());
  } else if (main.dataset.poll !== undefined) {
    poll();
  }

  // A second click while the first is under way would only be refused.
  addEventListener("submit", (event) => {
    if (!event.target.hasAttribute("data-once")) return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "1";
  });
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });

  document.getElementById("trouble")?.focus();
})();
