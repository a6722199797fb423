// Keeps the whole page, so that it works with the network off; the line before this one says what there is of it.
// A version is taken whole, each file checked against its digest, or not at all, and the page runs on one version
// until a person takes the next.

const PREFIX = `osteolite ${registration.scope} `; // another page of this host has caches of its own
const CACHE = PREFIX + CONTENTS.version;
const HERE = new URL("./", self.location.href).pathname;

// What a host need not send: with these the page is isolated, so that the runtime may use threads.
const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "X-Content-Type-Options": "nosniff",
};

self.addEventListener("install", (event) => event.waitUntil(take()));
self.addEventListener("activate", (event) => event.waitUntil(begin()));
self.addEventListener("message", (event) => { if (event.data === "take over") self.skipWaiting(); });
self.addEventListener("fetch", (event) => {
  const name = nameOf(event.request);
  if (name) event.respondWith(answer(event.request, name));
});

async function take() {
  const cache = await caches.open(CACHE);
  try {
    await Promise.all(Object.entries(CONTENTS.files).map(([name, digest]) => keep(cache, name, digest)));
  } catch (error) {
    await caches.delete(CACHE);
    throw error;
  }
}

async function keep(cache, name, digest) {
  const response = await fetch(name, {cache: "no-cache", credentials: "same-origin"});
  if (!response.ok) throw new Error(`${name} cannot be fetched (${response.status})`);
  const content = await response.arrayBuffer();
  const found = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const same = Array.from(found, (byte) => byte.toString(16).padStart(2, "0")).join("") === digest;
  if (!same && !isUnpacked(name, content)) throw new Error(`${name} is of another version`);
  const type = response.headers.get("Content-Type") ?? "application/octet-stream";
  await cache.put(name, new Response(content, {headers: {...ISOLATION, "Content-Type": type}}));
}

// Some hosts tell the browser to unpack a .gz on its way; the digest is of the packed file.
const isUnpacked = (name, content) => name.endsWith(".gz") && new Uint8Array(content)[0] !== 0x1f;

async function begin() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(PREFIX) && name !== CACHE).map((name) => caches.delete(name)));
  await self.clients.claim();
}

// Of the page's own files, what CONTENTS calls it; of all else nothing.
function nameOf(request) {
  const {origin, pathname} = new URL(request.url);
  if (request.method !== "GET" || origin !== self.location.origin || !pathname.startsWith(HERE)) return "";
  const path = pathname.slice(HERE.length);
  const name = path === "" || path.endsWith("/") ? `${path}index.html` : path;
  return Object.hasOwn(CONTENTS.files, name) ? name : "";
}

// A browser that is short of space may have dropped the cache.
async function answer(request, name) {
  const cache = await caches.open(CACHE);
  return await cache.match(name) ?? fetch(request);
}
