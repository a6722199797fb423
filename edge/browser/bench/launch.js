// One launch: every model is compiled anew for every accelerator and warmed up, then they run in turns. It has a
// frame of its own, which takes the runtime's memory and threads with it when it is removed.

import {loadRuntime} from "../js/runtime.js";

const TURNS = 10; // of a launch
const TURN_MS = 100; // a turn takes about so long
const WARM_RUNS = 10; // of a turn while it warms up, or as many as fit into ...
const WARM_MS = 2000; // ... so long, but no fewer than ...
const WARM_LEAST = 3;
const WARM_TURNS = 20; // at most
const STEADY = 0.05;

// The only place that times runs: from the values of the input to those of every output, all of them in JavaScript's
// own memory. A GPU answers `run` before it has computed anything, so a run without `data` has no time at all.
async function timedRun(lane) {
  const start = performance.now();
  const input = new lane.library.Tensor(lane.values, lane.shape);
  const outputs = await lane.model.run(input);
  const answers = await Promise.all(outputs.map((output) => output.data()));
  const milliseconds = performance.now() - start;
  for (const tensor of [input, ...outputs]) tensor.delete();
  return {milliseconds, answers};
}

// {lanes, scored}: `lanes` as `benchmarks/harness/records.py` describes them, of one launch each, by model and accelerator;
// `scored`, for each of them, the first logit and the milliseconds of each image, or null.
globalThis.launch = async (task, adapter, say) => {
  let share = 0; // of this launch that is done: half of it is getting ready
  const tell = (step) => say(step, share);
  const runtimes = await loadRuntimes(task, tell);
  const running = [];
  for (const model of task.models) {
    const bytes = new Uint8Array(await (await fetched(model.url)).arrayBuffer());
    for (const accelerator of task.accelerators) {
      const lane = describedLane(task, model, accelerator);
      running.push(lane);
      await attempt(lane, () => compile(lane, runtimes[accelerator], bytes, adapter, tell));
      await attempt(lane, () => warmUp(lane, tell));
      share = running.length / (task.models.length * task.accelerators.length) / 2;
    }
  }
  for (let turn = 1; turn <= TURNS; turn++) {
    share = 0.5 + (turn - 1) / TURNS / 2;
    for (const lane of running.filter((one) => !one.figures.error)) {
      await tell(`turn ${turn} of ${TURNS}: ${nameOf(lane)}`);
      await attempt(lane, () => takeTurn(lane));
    }
  }
  const scored = await score(task, running, tell);
  return {lanes: running.map((lane) => lane.figures), scored};
};

function describedLane(task, model, accelerator) {
  const launch = {
    cold_start: {}, warm_up: 0, steady: false, invoke: [], quantiles: {}, runs: 0,
    peak_mb: null, steady_mb: null, foreign_cores: null, stolen: null, joules: null,
  };
  const figures = {
    file: model.file, variant: model.variant, bytes: model.bytes, threads: 1, engine: "litert.js",
    runtime: task.runtime, asked: accelerator, applied: "", taken: null, of: null, reason: "", launches: [launch],
    steps: {}, probabilities: [], answers: [], batch: {}, scenarios: {}, operators: [], error: "",
  };
  return {figures, launch, spec: model.spec, accelerator};
}

const nameOf = (lane) => `${lane.figures.variant || lane.figures.file} on ${lane.accelerator}`;

// Does a step of a lane that has not failed yet; why it fails now becomes its error, and the other lanes go on.
async function attempt(lane, step) {
  if (lane.figures.error) return;
  try {
    await step();
  } catch (error) {
    lane.figures.error = oneLine(error);
    lane.figures.launches = [];
    lane.model?.delete();
  }
}

const oneLine = (error) => String(error?.message ?? error).replace(/[^\x20-\x7e]+/g, " ").trim().slice(0, 300);

// Each accelerator has a runtime of its own.
async function loadRuntimes(task, tell) {
  const runtimes = {};
  for (const accelerator of task.accelerators) {
    await tell(`loading the runtime for ${accelerator}`);
    runtimes[accelerator] = await loadRuntime(accelerator);
  }
  return runtimes;
}

async function compile(lane, runtime, bytes, adapter, tell) {
  await tell(`compiling ${nameOf(lane)}`);
  if (lane.accelerator === "webgpu" && !adapter) throw new Error(noAdapter());
  const start = performance.now();
  const model = await runtime.library.loadAndCompile(bytes, {accelerator: lane.accelerator});
  lane.launch.cold_start.load = performance.now() - start;
  const [input, ...others] = model.getInputDetails();
  if (others.length || input.dtype !== "float32") throw new Error("one input of float32 is needed");
  lane.library = runtime.library;
  lane.model = model;
  lane.shape = Array.from(input.shape);
  lane.values = Float32Array.from({length: lane.shape.reduce((a, b) => a * b)}, () => 2 * Math.random() - 1);
  lane.figures.applied = model.options.accelerator;
  lane.figures.threads = model.options.accelerator === "wasm" ? runtime.threads : 1;
  lane.figures.reason = reasonOf(model, lane.accelerator, adapter);
}

function noAdapter() {
  if (!isSecureContext) return "a browser gives WebGPU to pages from https or localhost alone; open this one there";
  return navigator.gpu ? "WebGPU finds no usable GPU here" : "this browser has no WebGPU, or has it switched off";
}

function reasonOf(model, accelerator, adapter) {
  if (accelerator !== "webgpu") return "";
  if (model.options.accelerator !== "webgpu") return "some operators are not for WebGPU, and all ran on wasm";
  const reasons = adapter.imitation ? [`a processor's imitation of a GPU (${adapter.name})`] : [];
  if (!model.isFullyAccelerated) reasons.push("some operators are not for WebGPU, and ran on wasm");
  return reasons.join("; ");
}

async function warmUp(lane, tell) {
  await tell(`first run of ${nameOf(lane)}`);
  lane.launch.cold_start.first_invoke = (await timedRun(lane)).milliseconds;
  let before = NaN; // to which nothing is near
  for (let turn = 0; turn < WARM_TURNS && !lane.launch.steady; turn++) {
    await tell(`warming up ${nameOf(lane)}`);
    const spent = [];
    const end = performance.now() + WARM_MS;
    while (spent.length < WARM_RUNS && (spent.length < WARM_LEAST || performance.now() < end)) {
      spent.push((await timedRun(lane)).milliseconds);
    }
    const found = median(spent);
    lane.launch.warm_up += spent.length;
    lane.launch.steady = Math.abs(found - before) <= STEADY * before;
    before = found;
  }
  if (!before) throw new Error("a run takes no time by this browser's clock, which is too coarse for it");
  lane.runs = Math.min(100, Math.max(1, Math.round(TURN_MS / before)));
}

async function takeTurn(lane) {
  const spent = [];
  while (spent.length < lane.runs) spent.push((await timedRun(lane)).milliseconds);
  lane.launch.invoke.push(spent);
}

// Every image through every lane. The tensors come ready from the server, one for each way of preprocessing.
async function score(task, running, tell) {
  const scored = running.map(() => ({logits: [], milliseconds: []}));
  for (let image = 0; image < task.images; image++) {
    await tell(`scoring image ${image + 1} of ${task.images}`);
    const tensors = new Map();
    for (const [index, lane] of running.entries()) {
      if (lane.spec === null || lane.figures.error) continue;
      if (!tensors.has(lane.spec)) {
        const content = await (await fetched(`tensors/${lane.spec}/${image}`)).arrayBuffer();
        tensors.set(lane.spec, new Float32Array(content));
      }
      lane.values = tensors.get(lane.spec);
      await attempt(lane, async () => {
        const {milliseconds, answers} = await timedRun(lane);
        scored[index].logits.push(answers.find((values) => values.length === 1)[0]);
        scored[index].milliseconds.push(milliseconds);
      });
    }
  }
  return scored;
}

async function fetched(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} cannot be fetched (${response.status})`);
  return response;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
