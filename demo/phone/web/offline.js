// Registers the service worker, which stores the page; a new version waits until the visitor accepts it.

const element = (id) => document.getElementById(id);

export function keepForOffline() {
  if (!navigator.serviceWorker) {
    element("offline").textContent =
      "From this address the page needs the network on each visit: browsers store pages only from https or localhost.";
    return;
  }
  let accepted = false;
  navigator.serviceWorker.addEventListener("controllerchange", () => { if (accepted) location.reload(); });
  element("take-over").addEventListener("click", async () => {
    accepted = true;
    (await navigator.serviceWorker.getRegistration())?.waiting?.postMessage("take over");
  });
  navigator.serviceWorker.register("sw.js").then(watch, () => {
    element("offline").textContent = "This browser does not store the page, so it needs the network on each visit.";
  });
}

function watch(registration) {
  // Without a controller this is the first visit, and the waiting version is this one.
  const showUpdate = () => {
    element("update").hidden = !(registration.waiting && navigator.serviceWorker.controller);
  };
  showUpdate();
  registration.addEventListener("updatefound", () =>
    registration.installing?.addEventListener("statechange", showUpdate));
}
