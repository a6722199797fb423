// LiteRT.js, the runtime of browsers, as it lies beside these modules: its WebAssembly is packed, and unpacked here.

const FOLDER = new URL("../third_party/litertjs/", import.meta.url);
const GZIP = [0x1f, 0x8b];

const loaded = new Map(); // by the name of the build

// The runtime for an accelerator, "wasm" or "webgpu": {library, threads, build}. It is loaded once, and kept.
//
// On the processor threads help, which only a cross-origin isolated page may have. On the GPU the build with JSPI can
// leave single operators to the processor. Both need relaxed SIMD; "compat" runs wherever LiteRT.js does.
export async function loadRuntime(accelerator) {
  const {supportsFeature} = await import(new URL("index.js", FOLDER).href);
  const wanted = accelerator === "webgpu" ? "jspi" : "threads";
  const usable = await supportsFeature("relaxedSimd") && await supportsFeature(wanted);
  const build = usable ? {jspi: "jspi", threads: "threaded"}[wanted] : "compat";
  if (!loaded.has(build)) {
    // One after the other: the loader hands itself over in a global variable.
    loaded.set(build, Promise.allSettled(loaded.values()).then(() => load(build)));
    loaded.get(build).catch(() => loaded.delete(build));
  }
  return loaded.get(build);
}

async function load(build) {
  // The library keeps one runtime; under an address of its own it is another instance, with another runtime.
  const library = await import(new URL(`index.js?${build}`, FOLDER).href);
  const name = `litert_wasm_${build}_internal`;
  globalThis.Module = {wasmBinary: await unpacked(new URL(`${name}.wasm.gz`, FOLDER))};
  const {liteRtWasm} = await library.loadLiteRt(new URL(`${name}.js`, FOLDER).href);
  return {library, threads: liteRtWasm.getThreadCount(), build};
}

// A server may have told the browser to unpack the file already; its first bytes say.
async function unpacked(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname} cannot be fetched (${response.status}); look at the connection`);
  const content = new Uint8Array(await response.arrayBuffer());
  if (!GZIP.every((byte, place) => content[place] === byte)) return content;
  if (typeof DecompressionStream === "undefined") {
    throw new Error("this browser cannot unpack the runtime (it has no DecompressionStream); use a newer one");
  }
  const stream = new Blob([content]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
