// The benchmark page. bench.json beside it says what to measure; launch.js measures, in a new frame for each launch.

const FORMAT = "osteolite-bench-figures";
const VERSION = 1;
const SOFTWARE_GPUS = /swiftshader|llvmpipe|lavapipe|softpipe|basic render|software/i;
const PAINT_MS = 20; // lets the browser paint the progress before the work goes on
const FRAME_MS = 60_000; // time limit for loading a launch's frame

const element = (id) => document.getElementById(id);
const driven = typeof globalThis.reportResult === "function"; // opened by a program that waits for the result

async function main() {
  const response = await fetch("bench.json");
  if (!response.ok) throw new Error("there is no bench.json beside this page");
  const task = await response.json();
  showBackLink();
  const adapter = await webgpuAdapter();
  showRows(pending(task));
  showConditions(await browserConditions(task, adapter));
  element("measure").disabled = false;
  element("measure").addEventListener("click", () => measureHere(task, adapter));
  if (driven) globalThis.reportResult(JSON.stringify(await measure(task, adapter)));
}

// Shows a link back to the page named in the address, `?back=../`; only paths of this server are accepted.
function showBackLink() {
  const back = new URLSearchParams(location.search).get("back");
  const target = back && new URL(back, location.href);
  if (target?.origin !== location.origin || !target.protocol.startsWith("http")) return;
  element("back").href = target.href;
  element("back").hidden = false;
}

async function measureHere(task, adapter) {
  const button = element("measure");
  button.disabled = true;
  element("save").hidden = true;
  setStatus("Measuring");
  try {
    const {measured} = await measure(task, adapter);
    offerDownload({format: FORMAT, version: VERSION, measured});
    setStatus("Done. Save the results, and import them with: osteolite bench import FILE");
  } catch (error) {
    setStatus(`The measurement failed: ${error?.message ?? error}`, true);
  } finally {
    element("progress").hidden = true;
    button.textContent = "Measure again";
    button.disabled = false;
  }
}

// {measured, scored}: `Measured` of benchmarks/harness/records.py as JSON, and the last launch's image results.
async function measure(task, adapter) {
  const clock = performance.now();
  const conditions = {...await browserConditions(task, adapter), started: new Date().toISOString()};
  conditions.before = await power();
  const release = await keepAwake();
  let cases = []; // "lanes" in JSON
  let scored = [];
  try {
    for (let launch = 1; launch <= task.launches; launch++) {
      const report = (step, share) => showStep(task, launch, step, share);
      const images = launch === task.launches ? task.images : 0;
      const found = await inFrame((frame) => frame.launch({...task, images}, adapter, report));
      cases = launch === 1 ? found.cases : cases.map((measured, index) => joined(measured, found.cases[index]));
      scored = found.scored;
      showRows(cases);
    }
  } finally {
    release();
  }
  conditions.seconds = Math.round((performance.now() - clock) / 100) / 10;
  conditions.after = await power();
  return {measured: {device: "browser", conditions, lanes: cases, labels: [], left_out: {}}, scored};
}

const joined = (first, next) =>
  ({...first, launches: [...first.launches, ...next.launches], error: first.error || next.error});

// A frame has its own runtime, whose memory and threads end with the frame. Browsers slow down a hidden page, so a
// measurement during which the page was hidden is discarded.
async function inFrame(work) {
  const frame = document.createElement("iframe");
  frame.hidden = true;
  frame.title = "One launch";
  frame.src = "launch.html";
  let hidden = document.hidden;
  const watch = () => { hidden ||= document.hidden; };
  document.addEventListener("visibilitychange", watch);
  try {
    await new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error("launch.html does not load; reload the page")), FRAME_MS);
      frame.addEventListener("load", resolve);
      document.body.append(frame);
    });
    if (!frame.contentWindow.launch) throw new Error("launch.js does not load; reload the page");
    const found = await work(frame.contentWindow);
    if (hidden) throw new Error("the page was hidden, which slows it down; keep it in view and measure again");
    return found;
  } finally {
    document.removeEventListener("visibilitychange", watch);
    frame.remove();
  }
}

// Shows the current step and the finished share of the launch.
function showStep(task, launch, step, share) {
  element("progress").hidden = false;
  element("bar").value = (launch - 1 + share) / task.launches;
  element("step").textContent = task.launches > 1 ? `launch ${launch} of ${task.launches}: ${step}` : step;
  globalThis.reportStep?.(step);
  return new Promise((resolve) => setTimeout(resolve, PAINT_MS));
}

function setStatus(text, failed = false) {
  element("state").textContent = text;
  element("state").className = failed ? "failed" : "";
}

// ---- conditions

async function browserConditions(task, adapter) {
  const agent = navigator.userAgentData;
  const hints = ["model", "platform", "platformVersion", "architecture", "bitness", "fullVersionList"];
  const known = await agent?.getHighEntropyValues(hints).catch(() => null) ?? {};
  const architecture = [known.architecture, known.bitness].filter(Boolean).join("-");
  return {
    machine: printable(known.model || [known.platform, known.platformVersion].filter(Boolean).join(" ") ||
      navigator.platform || "unknown"),
    architecture: printable(architecture || "unknown"),
    cores: navigator.hardwareConcurrency ?? null,
    system: printable(navigator.userAgent),
    browser: printable(browserName(known.fullVersionList)),
    "litert.js": task.runtime.split(" ").at(-1),
    webgpu: adapter && {vendor: adapter.vendor, architecture: adapter.architecture, description: adapter.description},
    cross_origin_isolated: globalThis.crossOriginIsolated === true,
    timer_resolution_ms: timerResolution(),
    load_average: null,
  };
}

function browserName(versions) {
  const named = versions?.filter(({brand}) => !/not.*brand/i.test(brand));
  const best = named?.find(({brand}) => brand !== "Chromium") ?? named?.[0];
  if (best) return `${best.brand} ${best.version}`;
  const [, name, version] = navigator.userAgent.match(/(Firefox|Edg|Chrome|Version)\/([\d.]+)/) ?? [];
  return name ? `${name === "Version" ? "Safari" : name} ${version}` : "unknown";
}

// The smallest of a few clock steps, milliseconds.
function timerResolution() {
  let smallest = Infinity;
  for (let step = 0; step < 20; step++) {
    const start = performance.now();
    let now = start;
    while (now === start) now = performance.now();
    smallest = Math.min(smallest, now - start);
  }
  return Math.round(1e4 * smallest) / 1e4;
}

async function power() {
  const battery = await navigator.getBattery?.().catch(() => null);
  return {on_battery: battery ? !battery.charging : null};
}

async function webgpuAdapter() {
  const adapter = await navigator.gpu?.requestAdapter({powerPreference: "high-performance"}).catch(() => null);
  if (!adapter) return null;
  const info = adapter.info ?? {};
  const [vendor, architecture, description] = [info.vendor, info.architecture, info.description].map(printable);
  const name = [vendor, architecture, description].filter(Boolean).join(" ") || "unnamed";
  const isSoftware = Boolean(info.isFallbackAdapter ?? adapter.isFallbackAdapter) || SOFTWARE_GPUS.test(name);
  return {vendor, architecture, description, name, isSoftware};
}

const printable = (text) => String(text ?? "").replace(/[^\x20-\x7e]+/g, " ").trim().slice(0, 300);

// Keeps a phone's screen on if the browser can; the returned function releases it.
async function keepAwake() {
  const lock = await navigator.wakeLock?.request("screen").catch(() => null);
  return () => lock?.release();
}

// ---- the table

const pending = (task) => task.models.flatMap((model) => task.accelerators.map((requested) => ({
  ...model, asked: requested, launches: [], reason: "", error: "",
})));

function showRows(cases) {
  const variants = new Map(cases.map(({file, variant}) => [file, variant]));
  const ambiguous = new Set(variants.values()).size < variants.size;
  element("rows").replaceChildren(...cases.flatMap((measured) => {
    const runs = measured.launches.flatMap((launch) => launch.invoke.flat());
    const first = measured.launches.map((launch) => launch.cold_start.first_invoke);
    const name = cell("th", measured.variant && !ambiguous ? measured.variant : measured.file);
    name.scope = "row";
    name.replaceChildren(...name.textContent.split(/(?=_)/).flatMap((part) => [part, document.createElement("wbr")]));
    const numbers = [quantile(runs, 0.5), quantile(runs, 0.9), quantile(first, 0.5)].map(milliseconds);
    numbers.push((measured.bytes / 1e6).toFixed(measured.bytes < 1e5 ? 3 : 1));
    const row = document.createElement("tr");
    row.append(name, cell("td", measured.asked), ...numbers.map((text) => cell("td", text, "number")));
    const note = measured.error || measured.reason;
    return note ? [row, noteRow(note, Boolean(measured.error))] : [row];
  }));
}

function noteRow(text, failed) {
  const row = document.createElement("tr");
  row.className = failed ? "note failed" : "note";
  const only = cell("td", failed ? `Not measured: ${text}` : text);
  only.colSpan = 6;
  row.append(only);
  return row;
}

function cell(name, text, kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = kind;
  return made;
}

function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  if (!sorted.length) return null;
  return sorted[below] + (place - below) * ((sorted[below + 1] ?? sorted[below]) - sorted[below]);
}

const milliseconds = (value) => value === null ? "–" : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);

function showConditions(conditions) {
  const shown = {
    Machine: conditions.machine,
    Browser: conditions.browser,
    Cores: conditions.cores ?? "unknown",
    WebGPU: conditions.webgpu ? Object.values(conditions.webgpu).filter(Boolean).join(" ") || "yes" : "none",
    Runtime: `LiteRT.js ${conditions["litert.js"]}`,
    Clock: `steps of ${conditions.timer_resolution_ms} ms`,
    Threads: conditions.cross_origin_isolated ? "one for each core" : "one: the page is not cross-origin isolated",
  };
  element("conditions").replaceChildren(
    ...Object.entries(shown).flatMap(([name, value]) => [cell("dt", name), cell("dd", value)]));
}

function offerDownload(results) {
  const link = element("save");
  if (link.href) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob([JSON.stringify(results)], {type: "application/json"}));
  link.download = `osteolite-figures-${results.measured.conditions.started.slice(0, 19).replaceAll(":", "")}.json`;
  link.hidden = false;
}

main().catch((error) => {
  setStatus(`Measuring is not possible: ${error?.message ?? error}`, true);
  globalThis.reportResult?.(JSON.stringify({error: String(error?.message ?? error)}));
});
