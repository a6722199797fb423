// One launch: compile and warm up each model on each accelerator, then run all of them in turns. It has its own frame;
// removing the frame frees the runtime's memory and threads.

import {loadRuntime} from "../js/runtime.js";

const TURNS = 10; // of a launch
const TURN_MS = 100; // approximate duration of a turn
const WARM_RUNS = 10; // maximum runs of a warm-up turn
const WARM_MS = 2000; // time limit of a warm-up turn
const WARM_MIN_RUNS = 3; // even over the time limit
const WARM_TURNS = 20; // maximum
const STEADY = 0.05; // relative change of the median between two warm-up turns that counts as steady

// The only place that times runs, from input values to output values in JavaScript's memory. A GPU returns from `run`
// before it has computed anything, so the time must include `data`.
async function timedRun(current) {
  const start = performance.now();
  const input = new current.library.Tensor(current.values, current.shape);
  const outputs = await current.model.run(input);
  const answers = await Promise.all(outputs.map((output) => output.data()));
  const milliseconds = performance.now() - start;
  for (const tensor of [input, ...outputs]) tensor.delete();
  return {milliseconds, answers};
}

// {cases, scored}: one `Case` of benchmarks/harness/records.py as JSON for each model and accelerator, with one launch;
// and for each case the logit and the milliseconds of each image.
globalThis.launch = async (task, adapter, showStep) => {
  let share = 0; // finished share of this launch; the preparation is half of it
  const report = (step) => showStep(step, share);
  const runtimes = await loadRuntimes(task, report);
  const cases = [];
  for (const model of task.models) {
    const bytes = new Uint8Array(await (await fetched(model.url)).arrayBuffer());
    for (const accelerator of task.accelerators) {
      const current = newCase(task, model, accelerator);
      cases.push(current);
      await attempt(current, () => compile(current, runtimes[accelerator], bytes, adapter, report));
      await attempt(current, () => warmUp(current, report));
      share = cases.length / (task.models.length * task.accelerators.length) / 2;
    }
  }
  for (let turn = 1; turn <= TURNS; turn++) {
    share = 0.5 + (turn - 1) / TURNS / 2;
    for (const current of cases.filter(({record}) => !record.error)) {
      await report(`turn ${turn} of ${TURNS}: ${nameOf(current)}`);
      await attempt(current, () => takeTurn(current));
    }
  }
  const scored = await score(task, cases, report);
  return {cases: cases.map(({record}) => record), scored};
};

function newCase(task, model, accelerator) {
  const launch = {
    cold_start: {}, warm_up: 0, steady: false, invoke: [], quantiles: {}, runs: 0,
    peak_mb: null, steady_mb: null, foreign_cores: null, stolen: null, joules: null,
  };
  const record = {
    file: model.file, variant: model.variant, bytes: model.bytes, threads: 1, engine: "litert.js",
    runtime: task.runtime, asked: accelerator, applied: "", taken: null, of: null, reason: "", launches: [launch],
    steps: {}, probabilities: [], answers: [], batch: {}, scenarios: {}, operators: [], error: "",
  };
  return {record, launch, spec: model.spec, accelerator};
}

const nameOf = (current) => `${current.record.variant || current.record.file} on ${current.accelerator}`;

// Runs a step of a case that has not failed yet. A failure becomes the case's error; the other cases go on.
async function attempt(current, step) {
  if (current.record.error) return;
  try {
    await step();
  } catch (error) {
    current.record.error = oneLine(error);
    current.record.launches = [];
    current.model?.delete();
  }
}

const oneLine = (error) => String(error?.message ?? error).replace(/[^\x20-\x7e]+/g, " ").trim().slice(0, 300);

// Each accelerator has its own runtime.
async function loadRuntimes(task, report) {
  const runtimes = {};
  for (const accelerator of task.accelerators) {
    await report(`loading the runtime for ${accelerator}`);
    runtimes[accelerator] = await loadRuntime(accelerator);
  }
  return runtimes;
}

async function compile(current, runtime, bytes, adapter, report) {
  await report(`compiling ${nameOf(current)}`);
  if (current.accelerator === "webgpu" && !adapter) throw new Error(noAdapter());
  const start = performance.now();
  const model = await runtime.library.loadAndCompile(bytes, {accelerator: current.accelerator});
  current.launch.cold_start.load = performance.now() - start;
  const [input, ...others] = model.getInputDetails();
  if (others.length || input.dtype !== "float32") throw new Error("the model needs one float32 input");
  current.library = runtime.library;
  current.model = model;
  current.shape = Array.from(input.shape);
  current.values = Float32Array.from({length: current.shape.reduce((a, b) => a * b)}, () => 2 * Math.random() - 1);
  current.record.applied = model.options.accelerator;
  current.record.threads = model.options.accelerator === "wasm" ? runtime.threads : 1;
  current.record.reason = reasonOf(model, current.accelerator, adapter);
}

function noAdapter() {
  if (!isSecureContext) return "browsers allow WebGPU only on pages from https or localhost; open this page there";
  if (!navigator.gpu) return "this browser has no WebGPU, or it is switched off";
  return "WebGPU finds no usable GPU on this device";
}

function reasonOf(model, accelerator, adapter) {
  if (accelerator !== "webgpu") return "";
  if (model.options.accelerator !== "webgpu") return "WebGPU does not support some operators, so all ran on wasm";
  const reasons = adapter.isSoftware ? [`a processor's imitation of a GPU (${adapter.name})`] : [];
  if (!model.isFullyAccelerated) reasons.push("WebGPU does not support some operators, which ran on wasm");
  return reasons.join("; ");
}

async function warmUp(current, report) {
  await report(`first run of ${nameOf(current)}`);
  current.launch.cold_start.first_invoke = (await timedRun(current)).milliseconds;
  let before = NaN; // not near any number
  for (let turn = 0; turn < WARM_TURNS && !current.launch.steady; turn++) {
    await report(`warming up ${nameOf(current)}`);
    const times = [];
    const end = performance.now() + WARM_MS;
    while (times.length < WARM_RUNS && (times.length < WARM_MIN_RUNS || performance.now() < end)) {
      times.push((await timedRun(current)).milliseconds);
    }
    const found = median(times);
    current.launch.warm_up += times.length;
    current.launch.steady = Math.abs(found - before) <= STEADY * before;
    before = found;
  }
  if (!before) throw new Error("this browser's clock is too coarse for so short a run; use https or localhost");
  current.runs = Math.min(100, Math.max(1, Math.round(TURN_MS / before)));
}

async function takeTurn(current) {
  const times = [];
  while (times.length < current.runs) times.push((await timedRun(current)).milliseconds);
  current.launch.invoke.push(times);
}

// Scores every image with every case. The server sends preprocessed tensors, one for each preprocessing spec.
async function score(task, cases, report) {
  const scored = cases.map(() => ({logits: [], milliseconds: []}));
  for (let image = 0; image < task.images; image++) {
    await report(`scoring image ${image + 1} of ${task.images}`);
    const tensors = new Map();
    for (const [index, current] of cases.entries()) {
      if (current.spec === null || current.record.error) continue;
      if (!tensors.has(current.spec)) {
        const content = await (await fetched(`tensors/${current.spec}/${image}`)).arrayBuffer();
        tensors.set(current.spec, new Float32Array(content));
      }
      current.values = tensors.get(current.spec);
      await attempt(current, async () => {
        const {milliseconds, answers} = await timedRun(current);
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
