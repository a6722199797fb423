// Loads LiteRT.js from the folder beside these modules and unpacks its compressed WebAssembly.

const FOLDER = new URL("../third_party/litertjs/", import.meta.url);
const GZIP = [0x1f, 0x8b];

const loaded = new Map(); // runtimes by build name

// The runtime for an accelerator, "wasm" or "webgpu": {library, threads, build}. Each is loaded once.
//
// On the CPU the threaded build is faster, but it needs a cross-origin isolated page. On the GPU the JSPI build can run
// single operators on the CPU. Both need relaxed SIMD; "compat" runs wherever LiteRT.js does.
export async function loadRuntime(accelerator) {
  const {supportsFeature} = await import(new URL("index.js", FOLDER).href);
  const feature = accelerator === "webgpu" ? "jspi" : "threads";
  const usable = await supportsFeature("relaxedSimd") && await supportsFeature(feature);
  const build = usable ? {jspi: "jspi", threads: "threaded"}[feature] : "compat";
  if (!loaded.has(build)) {
    // One after the other, because the loader uses a global variable.
    loaded.set(build, Promise.allSettled(loaded.values()).then(() => load(build)));
    loaded.get(build).catch(() => loaded.delete(build));
  }
  return loaded.get(build);
}

async function load(build) {
  // An instance of the library has one runtime; a different address makes a new instance.
  const library = await import(new URL(`index.js?${build}`, FOLDER).href);
  const name = `litert_wasm_${build}_internal`;
  globalThis.Module = {wasmBinary: await unpacked(new URL(`${name}.wasm.gz`, FOLDER))};
  const {liteRtWasm} = await library.loadLiteRt(new URL(`${name}.js`, FOLDER).href);
  return {library, threads: liteRtWasm.getThreadCount(), build};
}

// The first bytes tell whether the browser has already unpacked the file on behalf of the server.
async function unpacked(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname} cannot be fetched (${response.status}); check the connection`);
  const content = new Uint8Array(await response.arrayBuffer());
  if (!GZIP.every((byte, place) => content[place] === byte)) return content;
  if (typeof DecompressionStream === "undefined") {
    throw new Error("this browser cannot unpack the runtime (it has no DecompressionStream); use a newer one");
  }
  const stream = new Blob([content]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
