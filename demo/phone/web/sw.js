// Stores the whole page so that it works offline; the line above lists its files. A version is stored completely, each
// file checked against its digest, or not at all. The page keeps to one version until the visitor accepts the next.

const PREFIX = `osteolite ${registration.scope} `; // other pages of this host have their own caches
const CACHE = PREFIX + CONTENTS.version;
const HERE = new URL("./", self.location.href).pathname;

// Added because a host may not send them: they isolate the page, which lets the runtime use threads.
const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "X-Content-Type-Options": "nosniff",
};

self.addEventListener("install", (event) => event.waitUntil(storeAll()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("message", (event) => { if (event.data === "take over") self.skipWaiting(); });
self.addEventListener("fetch", (event) => {
  const name = nameOf(event.request);
  if (name) event.respondWith(answer(event.request, name));
});

async function storeAll() {
  const cache = await caches.open(CACHE);
  try {
    await Promise.all(Object.entries(CONTENTS.files).map(([name, digest]) => store(cache, name, digest)));
  } catch (error) {
    await caches.delete(CACHE);
    throw error;
  }
}

async function store(cache, name, digest) {
  const response = await fetch(name, {cache: "no-cache", credentials: "same-origin"});
  if (!response.ok) throw new Error(`${name} cannot be fetched (${response.status})`);
  const content = await response.arrayBuffer();
  const found = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const matches = Array.from(found, (byte) => byte.toString(16).padStart(2, "0")).join("") === digest;
  if (!matches && !isUnpacked(name, content)) throw new Error(`${name} belongs to another version`);
  const type = response.headers.get("Content-Type") ?? "application/octet-stream";
  await cache.put(name, new Response(content, {headers: {...ISOLATION, "Content-Type": type}}));
}

// Some hosts make the browser unpack .gz files; the digest is that of the packed file.
const isUnpacked = (name, content) => name.endsWith(".gz") && new Uint8Array(content)[0] !== 0x1f;

async function activate() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(PREFIX) && name !== CACHE).map((name) => caches.delete(name)));
  await self.clients.claim();
}

// The name in CONTENTS of a file of this page; "" for all other requests.
function nameOf(request) {
  const {origin, pathname} = new URL(request.url);
  if (request.method !== "GET" || origin !== self.location.origin || !pathname.startsWith(HERE)) return "";
  const path = pathname.slice(HERE.length);
  const name = path === "" || path.endsWith("/") ? `${path}index.html` : path;
  return Object.hasOwn(CONTENTS.files, name) ? name : "";
}

// Falls back to the network: a browser short of space may have dropped the cache.
async function answer(request, name) {
  const cache = await caches.open(CACHE);
  return await cache.match(name) ?? fetch(request);
}
