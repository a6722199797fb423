// The page: what it measures is told by bench.json beside it, and done by launch.js, one frame a launch.

const FORMAT = "osteolite-bench-figures";
const VERSION = 1;
const IMITATIONS = /swiftshader|llvmpipe|lavapipe|softpipe|basic render|software/i;
const PAINT_MS = 20; // enough for the browser to draw what was told before it goes on
const FRAME_MS = 60_000; // for a launch's frame to load

const element = (id) => document.getElementById(id);
const driven = typeof globalThis.answered === "function"; // by the program that opened this page, and waits for it

async function main() {
  const response = await fetch("bench.json");
  if (!response.ok) throw new Error("there is no bench.json beside this page");
  const task = await response.json();
  showWayBack();
  const adapter = await webgpuAdapter();
  showRows(pending(task));
  showConditions(await browserConditions(task, adapter));
  element("measure").disabled = false;
  element("measure").addEventListener("click", () => measureHere(task, adapter));
  if (driven) globalThis.answered(JSON.stringify(await measure(task, adapter)));
}

// The link back to the page that this one was opened from, if it says so: `?back=../`, a path of this server alone.
function showWayBack() {
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
  say("Measuring");
  try {
    const {measured} = await measure(task, adapter);
    offer({format: FORMAT, version: VERSION, measured});
    say("Done. Save the figures, and read them with: osteolite bench import FILE");
  } catch (error) {
    say(`It was not measured: ${error?.message ?? error}`, true);
  } finally {
    element("progress").hidden = true;
    button.textContent = "Measure again";
    button.disabled = false;
  }
}

// {measured, scored}: `Measured` of benchmarks/harness/records.py as JSON, and what the last launch made of the images.
async function measure(task, adapter) {
  const clock = performance.now();
  const conditions = {...await browserConditions(task, adapter), started: new Date().toISOString()};
  conditions.before = await power();
  const release = await keepAwake();
  let lanes = [];
  let scored = [];
  try {
    for (let launch = 1; launch <= task.launches; launch++) {
      const tell = (step, share) => tellOf(task, launch, step, share);
      const images = launch === task.launches ? task.images : 0;
      const found = await inFrame((frame) => frame.launch({...task, images}, adapter, tell));
      lanes = launch === 1 ? found.lanes : lanes.map((lane, index) => joined(lane, found.lanes[index]));
      scored = found.scored;
      showRows(lanes);
    }
  } finally {
    release();
  }
  conditions.seconds = Math.round((performance.now() - clock) / 100) / 10;
  conditions.after = await power();
  return {measured: {device: "browser", conditions, lanes, labels: [], left_out: {}}, scored};
}

const joined = (lane, again) =>
  ({...lane, launches: [...lane.launches, ...again.launches], error: lane.error || again.error});

// A frame is a page of its own: a fresh runtime, and no memory or thread of it is left when it is gone. A page that is
// out of sight is slowed down, so what was measured then is not kept.
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
      setTimeout(() => reject(new Error("launch.html does not load")), FRAME_MS);
      frame.addEventListener("load", resolve);
      document.body.append(frame);
    });
    if (!frame.contentWindow.launch) throw new Error("launch.js does not load");
    const found = await work(frame.contentWindow);
    if (hidden) throw new Error("the page was out of sight, where a browser slows it down; measure again");
    return found;
  } finally {
    document.removeEventListener("visibilitychange", watch);
    frame.remove();
  }
}

// What is being done, and which share of this launch is done.
function tellOf(task, launch, step, share) {
  element("progress").hidden = false;
  element("bar").value = (launch - 1 + share) / task.launches;
  element("step").textContent = task.launches > 1 ? `launch ${launch} of ${task.launches}: ${step}` : step;
  globalThis.told?.(step);
  return new Promise((resolve) => setTimeout(resolve, PAINT_MS));
}

function say(text, failed = false) {
  element("state").textContent = text;
  element("state").className = failed ? "failed" : "";
}

// ---- what the browser tells of itself

async function browserConditions(task, adapter) {
  const agent = navigator.userAgentData;
  const wanted = ["model", "platform", "platformVersion", "architecture", "bitness", "fullVersionList"];
  const known = await agent?.getHighEntropyValues(wanted).catch(() => null) ?? {};
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

// The smallest step of the clock, of a few.
function timerResolution() {
  let least = Infinity;
  for (let step = 0; step < 20; step++) {
    const start = performance.now();
    let now = start;
    while (now === start) now = performance.now();
    least = Math.min(least, now - start);
  }
  return Math.round(1e4 * least) / 1e4;
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
  const imitation = Boolean(info.isFallbackAdapter ?? adapter.isFallbackAdapter) || IMITATIONS.test(name);
  return {vendor, architecture, description, name, imitation};
}

const printable = (text) => String(text ?? "").replace(/[^\x20-\x7e]+/g, " ").trim().slice(0, 300);

// Keeps a phone's screen on, where the browser can; the returned function lets it go.
async function keepAwake() {
  const lock = await navigator.wakeLock?.request("screen").catch(() => null);
  return () => lock?.release();
}

// ---- the table

const pending = (task) => task.models.flatMap((model) => task.accelerators.map((asked) => ({
  ...model, asked, launches: [], reason: "", error: "",
})));

function showRows(lanes) {
  const variants = new Map(lanes.map((lane) => [lane.file, lane.variant]));
  const ambiguous = new Set(variants.values()).size < variants.size;
  element("rows").replaceChildren(...lanes.flatMap((lane) => {
    const runs = lane.launches.flatMap((launch) => launch.invoke.flat());
    const first = lane.launches.map((launch) => launch.cold_start.first_invoke);
    const name = cell("th", lane.variant && !ambiguous ? lane.variant : lane.file);
    name.scope = "row";
    name.replaceChildren(...name.textContent.split(/(?=_)/).flatMap((part) => [part, document.createElement("wbr")]));
    const numbers = [quantile(runs, 0.5), quantile(runs, 0.9), quantile(first, 0.5)].map(milliseconds);
    numbers.push((lane.bytes / 1e6).toFixed(lane.bytes < 1e5 ? 3 : 1));
    const row = document.createElement("tr");
    row.append(name, cell("td", lane.asked), ...numbers.map((text) => cell("td", text, "number")));
    const note = lane.error || lane.reason;
    return note ? [row, noteRow(note, Boolean(lane.error))] : [row];
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

function offer(figures) {
  const link = element("save");
  if (link.href) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob([JSON.stringify(figures)], {type: "application/json"}));
  link.download = `osteolite-figures-${figures.measured.conditions.started.slice(0, 19).replaceAll(":", "")}.json`;
  link.hidden = false;
}

main().catch((error) => {
  say(`It cannot be measured: ${error?.message ?? error}`, true);
  globalThis.answered?.(JSON.stringify({error: String(error?.message ?? error)}));
});
