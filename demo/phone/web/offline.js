// The service worker keeps the page; a new version of it waits until a person takes it.

const element = (id) => document.getElementById(id);

export function keepForOffline() {
  if (!navigator.serviceWorker) {
    element("offline").textContent =
      "From this address it needs the network each time: browsers keep a page for later from https or localhost alone.";
    return;
  }
  let asked = false;
  navigator.serviceWorker.addEventListener("controllerchange", () => { if (asked) location.reload(); });
  element("take-over").addEventListener("click", async () => {
    asked = true;
    (await navigator.serviceWorker.getRegistration())?.waiting?.postMessage("take over");
  });
  navigator.serviceWorker.register("sw.js").then(watch, () => {
    element("offline").textContent = "This browser does not keep the page for later, so it needs the network each time.";
  });
}

function watch(registration) {
  // Without a controller this is the first visit, and what waits is this version itself.
  const look = () => { element("update").hidden = !(registration.waiting && navigator.serviceWorker.controller); };
  look();
  registration.addEventListener("updatefound", () => registration.installing?.addEventListener("statechange", look));
}
